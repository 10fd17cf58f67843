"""What a file of each format keeps; `make formats` reads, fits and encodes them, and writes the guide's table."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from tests.data.makers import IDS, LABELS, MAKERS, N_ROWS, NAMES, ROWS


def expected(title):
    """The rows of a file, which one file holds in another type."""
    rows = ROWS.copy()
    if "half floats, decimals" in title:
        rows[:, 4] = rows[:, 4] > 0
    return rows


def check(title, folder):
    """Write a file, read it, fit on it, encode it and read the codes; what is kept must be as it was written."""
    from dsae import DeepSparseAutoencoder
    from dsae.cli import run
    from dsae.data import open_rows

    make = MAKERS[title]
    path, options = make(folder)
    source = open_rows(path, **options)
    rows = source.read()
    np.testing.assert_array_equal(rows.toarray() if sp.issparse(rows) else rows, expected(title))
    keeps, everything = make.keeps, list(source.chunks())
    assert source.column_names == (NAMES if keeps["names"] else None)
    ids = None if everything[0].ids is None else np.concatenate([piece.ids for piece in everything])
    assert (None if ids is None else ids.tolist()) == (IDS if keeps["ids"] else None)
    labels = None if everything[0].labels is None else np.concatenate([piece.labels for piece in everything])
    wanted = (np.arange(N_ROWS) % 3).tolist() if title == ".svm" else LABELS
    assert (None if labels is None else labels.tolist()) == (wanted if keeps["labels"] else None)
    assert tuple(shape for field in source.parts["X"].fields for shape in field.shape) == keeps["fields"]
    model = DeepSparseAutoencoder(3, hidden_layer_sizes=(), density=0.5, max_iter=1, random_state=0).fit(source)
    model.save(folder / "model")
    flags = [x for k, v in options.items() if k != "n_features" for x in _flag(k, v)]
    assert run(["encode", str(folder / "model"), str(path), "-o", str(folder / "codes.parquet"), *flags]) == 0
    codes = open_rows(folder / "codes.parquet")
    np.testing.assert_allclose(codes.read(), model.transform(source), rtol=1e-5, atol=1e-6)
    if ids is not None:
        assert np.concatenate([piece.ids for piece in codes.chunks()]).tolist() == IDS


def _flag(name, value):
    flag = f"--{name.replace('_', '-')}"
    return [flag] if value is True else [flag, str(value)]


def main(path):
    """The table of formats, as Markdown."""
    lines = [
        "| format | written by | read | ids | names | labels | fit | encode, read back |",
        "|---|---|---|---|---|---|---|---|",
    ]
    failed = []
    for title, make in MAKERS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(title, Path(folder))
                works = "✓"
            except Exception as error:
                failed.append(title)
                print(f"{title}: {type(error).__name__}: {error}", file=sys.stderr)
                works = "✗"
        kept = [works if make.keeps[what] else "" for what in ("ids", "names", "labels")]
        lines.append(f"| `{title}` | {make.tool} | {works} | {' | '.join(kept)} | {works} | {works} |")
    text = Path(path).read_text()
    begin, end = text.index("<!-- formats -->"), text.index("<!-- end -->")
    table = "\n".join(lines)
    Path(path).write_text(f"{text[:begin]}<!-- formats -->\n{table}\n{text[end:]}")
    print(f"{len(MAKERS) - len(failed)} of {len(MAKERS)} formats read, fitted, encoded and read back")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
