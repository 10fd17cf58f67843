"""What is read ahead: no more than asked for, by a thread that ends with its consumer."""

import gc
import threading
import time
from types import SimpleNamespace

import pytest

from dsae.data import open_rows
from dsae.data._prefetch import prefetched

pytestmark = pytest.mark.usefixtures("small_pieces")


@pytest.fixture
def threads():
    """The readers that the test has started: another's may end when its garbage is collected."""

    def found():
        return {thread for thread in threading.enumerate() if thread.name == "dsae-prefetch"}

    before = found()
    return lambda: found() - before


def test_the_reader_ends_with_its_consumer(files, threads):
    batches = open_rows(files["npy"]).batches(64, seed=0)
    next(batches)
    assert len(threads()) == 1
    batches.close()
    assert not threads()
    for batch in open_rows(files["npy"]).batches(64, seed=0):
        assert len(batch) == 64
        break
    gc.collect()
    assert not threads()


def test_the_readers_error_is_raised_where_the_items_are_taken(threads):
    def items():
        yield 1
        raise OSError("gone")

    taken = prefetched(items(), 3)
    assert next(taken) == 1
    with pytest.raises(OSError, match="gone"):
        next(taken)
    assert not threads()


def test_no_more_is_read_ahead_than_asked_for():
    made = []
    taken = prefetched((made.append(i) for i in range(100)), 3)
    next(taken)
    time.sleep(0.05)
    assert len(made) <= 5
    taken.close()


def test_waiting_is_counted(monkeypatch):
    ticks, waits = iter([0, 5, 7, 8]), []
    monkeypatch.setattr("dsae.data._prefetch.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert list(prefetched(iter("a"), 1, waits.append)) == ["a"]
    assert waits == [5, 1]
