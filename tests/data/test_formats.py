"""Every format that users have, in a file that its usual tool has written; see `make formats`."""

import pytest
from tests.covering import each
from tests.data import formats

from dsae.config import FORMATS, WRITTEN, format_of
from dsae.data import open_rows

# of the tools that write
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@each(title=formats.MAKERS)
def test_a_file_of_the_usual_tool_is_read_fitted_encoded_and_read_back(title, tmp_path, capfd):
    formats.check(title, tmp_path)


def test_every_format_has_a_file_here(tmp_path):
    found = set()
    for i, make in enumerate(formats.MAKERS.values()):
        folder = tmp_path / str(i)
        folder.mkdir()
        path, _ = make(folder)
        base = str(path).rpartition(":")[0] or path
        found.add(getattr(format_of(base), "name", "folder"))
    assert set(FORMATS) <= found


def test_endings_are_told_apart():
    assert [format_of(f"x{end}").name for kind in FORMATS.values() for end in kind.endings] == [
        kind.name for kind in FORMATS.values() for _ in kind.endings
    ]
    assert format_of("x.csv.zip") is None
    assert set(WRITTEN) == {"npy", "npz", "csv", "tsv", "parquet", "arrow", "feather", "h5ad"}
    with pytest.raises(ValueError, match=r"got '\.zip'"):
        open_rows("x.csv.zip")
