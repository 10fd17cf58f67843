"""Of an error of several ranks one line is said, by a rank that has it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.covering import each

from dsae.train import LostRankError, spoken
from dsae.train._lost import together
from dsae.train._spoken import spoken_among

GONE = LostRankError(7, "a process is gone")
TOLD = LostRankError(7, "rank 1 failed with OSError: no", told=True)


def said(errors):
    """What each rank says of its error; None has none, and comes to its end."""
    store = torch.distributed.HashStore()
    texts = [str(error) for error in errors]

    def say(rank):
        if errors[rank] is not None:
            return spoken_among(store, rank, len(errors), errors[rank], texts[rank], 0.5 if None in errors else 300)

    with ThreadPoolExecutor(len(errors)) as pool:
        return [text for text in pool.map(say, range(len(errors))) if text is not None]


@each(
    {
        "errors, lines": [
            ([ValueError("a")] * 3, ["a"]),
            ([ValueError("a"), TOLD, TOLD], ["rank 0: a"]),
            ([ValueError("a"), None, None], ["rank 0: a"]),
            ([TOLD, OSError("a"), OSError("a")], ["ranks 1 and 2: a"]),
            ([ValueError("a"), OSError("a"), TypeError("b")], ["rank 2: b", "ranks 0 and 1: a"]),
            ([GONE, GONE, None], [str(GONE)]),
            ([ValueError("a")], ["a"]),
        ]
    }
)
def test_each_error_is_said_once(errors, lines):
    assert sorted(said(errors)) == lines


@pytest.mark.parametrize(("rank", "text"), [(0, "a"), (1, None)])
def test_what_all_raise_at_once_rank_0_says(rank, text, monkeypatch):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert spoken(together(ValueError("a")), "a") == text
    # processes started without a launcher have no store through which to tell one another
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    assert spoken(ValueError("a"), "a") == "a"


def test_a_process_alone_says_what_it_has():
    assert spoken(ValueError("a"), "a") == "a"
