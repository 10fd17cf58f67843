"""The page of a joint model."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from tests.html import Page

from dsae import MultimodalAutoencoder
from dsae.data import Field, JointSource, Part
from dsae.features import TableRows
from dsae.pages import render as render_page
from dsae.report import joint_table, write_joint_report

IMAGE = np.outer(np.linspace(0, 1, 8), np.linspace(0, 1, 8)).ravel()


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    size = rng.random((60, 1))
    rows = {
        "image": (size * IMAGE + 0.01 * rng.random((60, 64))).astype(np.float32),
        "numbers": sp.csr_matrix((size * np.eye(1, 12)).astype(np.float32)),
    }
    parts = {"image": Part("dense", 64, None, (Field("image", 0, 64, (8, 8)),))}
    source = JointSource(rows, {"image": np.arange(60) != 7}, parts=parts)
    return MultimodalAutoencoder(n_components=2, density=0.5, max_iter=3, random_state=0).fit(source), source


def test_every_row_is_shown_with_what_is_made_of_it(fitted):
    mm, rows = fitted
    table = mm.table(rows, n=60)
    assert table.html.count("<h3>") == 60
    # given, from each alone, from both; the row without an image has no line for it
    assert table.html.count("<tr>") == 59 * 5 + 3
    pictures = len(re.findall("data:image/png", table.html))
    assert pictures == 59 * 4 + 1
    assert table._repr_html_() == table.html


def test_a_page_is_one_file_with_its_own_scripts(fitted, tmp_path):
    mm, rows = fitted
    source = mm.runtime_.source("report", rows)
    page = write_joint_report(tmp_path / "page.html", mm.runtime_, source, coherence={"image": {"numbers": 0.5}})
    text = page.read_text()
    own = Page(render_page("base.html.j2", title="", scripts=("charts", "report"))).scripts
    page = Page(text)
    assert page.scripts == own
    assert all(source.startswith(("data:image/png;base64,", "data:,")) for source in page.sources)
    assert "50 %" in text
    assert "Training" in text
    table = mm.table(rows)
    saved = table.save(tmp_path / "table.html").read_text()
    assert saved.startswith("<!doctype html>")
    assert table.html in saved


def test_names_from_elsewhere_are_only_text():
    import pandas as pd

    evil = "<script>alert(1)</script>"
    frame = pd.DataFrame({evil: np.arange(40.0), "b": [["red", "<i>blue"][i % 2] for i in range(40)]})
    X = {"table": frame, "other": np.random.default_rng(0).random((40, 3))}
    mm = MultimodalAutoencoder({"table": TableRows(), "other": None}, n_components=2, density=0.5, max_iter=1).fit(X)
    html = joint_table(mm.runtime_, mm.runtime_.source("table", X), n=40).html
    assert "<script" not in html
    assert "<i>" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt; ") == 40 * 4  # given, and made of each and of both
    assert html.count("b &lt;i&gt;blue") >= 20


def test_a_table_is_shown_in_its_own_values():
    import pandas as pd

    frame = pd.DataFrame({"age": np.arange(100, 140), "colour": ["red", "blue"] * 20})
    X = {"table": frame, "other": np.random.default_rng(0).random((40, 3))}
    mm = MultimodalAutoencoder({"table": TableRows(), "other": None}, n_components=2, density=0.5, max_iter=1).fit(X)
    html = joint_table(mm.runtime_, mm.runtime_.source("table", X), n=40).html
    assert all(f"age {age}<br>colour {colour}" in html for age, colour in zip(frame.age, frame.colour, strict=True))


def test_features_of_texts_that_have_no_words_have_names():
    from dsae.features import TextRows

    texts = ["a red house", "a blue boat"] * 10
    X = {"text": texts, "other": np.random.default_rng(0).random((20, 3))}
    encoders = {"text": TextRows(weights="hashing", max_features=64), "other": None}
    mm = MultimodalAutoencoder(encoders, n_components=2, density=0.5, max_iter=1).fit(X)
    assert "hash" in joint_table(mm.runtime_, mm.runtime_.source("table", X)).html


def test_wide_sparse_rows_stay_sparse(monkeypatch):
    rng = np.random.default_rng(0)
    X = {"text": sp.random(40, 300, 0.05, "csr", np.float32, random_state=0), "other": rng.random((40, 3))}
    mm = MultimodalAutoencoder(n_components=2, density=0.5, max_iter=1).fit(X)
    source, dense = mm.runtime_.source("table", X), sp.csr_matrix.toarray
    wanted = mm.table(X).html
    heights = []
    monkeypatch.setattr(sp.csr_matrix, "toarray", lambda X, *a, **k: heights.append(X.shape[0]) or dense(X, *a, **k))
    assert joint_table(mm.runtime_, source).html == wanted
    assert max(heights) == 1  # those shown
