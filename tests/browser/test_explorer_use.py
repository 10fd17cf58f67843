"""What one does in an explorer: search, sort, walk, note, link, download; names are text wherever they stand."""

import json
import re

import numpy as np
import pytest
import scipy.sparse as sp
from tests.browser import explorers
from tests.browser.conftest import NARROW, WIDE, lightness, overflow, page_in
from tests.browser.explorers import N_LATENTS, NASTY, PICTURED, VIEWS, column, downloaded, go, settled
from tests.covering import each

import dsae.explorer
import dsae.interpret
import dsae.metrics


@each(
    {
        "kind, size, dark": [
            ("told", WIDE, False),
            ("told", NARROW, True),
            ("seen", NARROW, False),
            ("seen", WIDE, True),
            ("both", NARROW, True),
        ]
    }
)
def test_every_view_fits_its_window_and_names_are_text_in_it(request, page_of, kind, size, dark):
    explored = request.getfixturevalue(kind)
    for view in PICTURED if kind == "seen" else VIEWS:
        page = page_of(explored, view, size, dark)
        assert overflow(page) <= 0, view
        assert (lightness(page, "background-color") < 0.3) == dark, view
        assert page.locator("main h1").count() == 1, view
        assert page.locator(".wrong, img[src=x]").count() == 0, view
        assert not re.search(r"\b(undefined|NaN)\b", page.locator("#page").inner_text()), view
        assert page.title().count(NASTY) == (kind == "told"), view
    assert page.evaluate("window.broken") is None


def test_sorting_sorts(page_of, told):
    page = page_of(told, "latents&sort=latent&up=1")
    for sort in ("rate", "mean", "lift", "energy"):
        key = {"mean": "mean_on"}.get(sort, sort)
        found = []
        for order in ("descending", "ascending"):
            page.locator(f"[data-sort={sort}]").click()
            page.wait_for_selector(f"[aria-sort={order}] [data-sort={sort}]")
            found.append(column(downloaded(page), key))
        down, up = found
        known = down[~np.isnan(down)]
        assert (np.diff(known) <= 0).all()
        assert np.isnan(down[len(known) :]).all()
        np.testing.assert_array_equal(up[~np.isnan(up)], known[::-1])


@each(
    {
        "name, inside": [
            ("dead", lambda t: ~t.on.any(axis=0)),
            ("rare", lambda t: np.zeros(N_LATENTS, bool)),
            ("frequent", lambda t: t.on.mean(axis=0) > 0.1),
            ("constant", lambda t: t.on.all(axis=0)),
            ("empty", lambda t: t.norms == 0),
            ("duplicates", lambda t: t.cosines().max(axis=0) > 0.9),
        ]
    }
)
def test_filters_leave_what_they_say(page_of, told, name, inside):
    page = page_of(told, f"latents&filter={name}&sort=latent&up=1")
    assert column(downloaded(page), "latent").tolist() == np.flatnonzero(inside(told.truth)).tolist()
    assert page.locator(f"[data-filter={name}][aria-pressed=true]").count() == 1


def test_search_finds_what_latents_write_and_keys_walk_what_was_found(page_of, told):
    truth, page = told.truth, page_of(told)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("word11")
    page.wait_for_function("() => location.hash.includes('q=word11')")
    settled(page)
    found = column(downloaded(page), "latent").astype(int)
    effect = np.abs(truth.writes[11]) * np.nan_to_num(truth.mean_on())
    assert 1 < len(found) < N_LATENTS
    assert np.argmax(effect) in found
    assert (truth.writes[11, found] != 0).all()
    page.keyboard.press("/")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"main[data-latent='{found[0]}']")
    for key, at in (("j", 1), ("k", 0)):
        page.keyboard.press(key)
        page.wait_for_selector(f"main[data-latent='{found[at]}']")
    assert "q=word11" in page.url
    for typed, there in (("13", "[data-latent='13']"), ("row 7", "[data-row='7']"), (told_id(9), "[data-row='9']")):
        page.keyboard.press("/")
        page.locator("#search").fill(typed)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"main{there}")
    assert page.evaluate("window.broken") is None


def told_id(row):
    return f"doc-{row} {NASTY}"


def test_search_finds_rows_by_their_names(page_of, told):
    page = page_of(told, f"latents&q={told_id(17).partition(' ')[0]}")
    links = page.locator("[data-part=rows-found] a")
    assert links.all_inner_texts() == [told_id(17)]
    links.click()
    page.wait_for_selector("main[data-row='17']")
    go(page, "latents&q=doc-1")
    assert page.locator("[data-part=rows-found]").inner_text().startswith("31 rows")  # 1, 10 to 19, 100 to 119
    go(page, "compare&a=row:3&b=row:8")
    by_number = downloaded(page)
    page.get_by_label("a: which").fill(told_id(3))
    page.get_by_label("a: which").press("Enter")
    page.wait_for_function("() => location.hash.includes('doc-3')")
    settled(page)
    assert downloaded(page) == by_number
    assert "X[[3]]" in page.locator("[data-python]").inner_text()


def test_the_state_is_in_the_address(page_of, told):
    page = page_of(told, "latents&sort=rate&filter=frequent")
    first = downloaded(page)
    page.reload()
    settled(page)
    assert downloaded(page) == first
    page.locator(".long .line").first.click()
    page.wait_for_selector("main[data-latent]")
    assert "sort=rate" in page.url
    page.go_back()
    page.wait_for_selector(".long")
    settled(page)
    assert downloaded(page) == first
    go(page, "latent=5&sort=rate&q=word3&lambda=1")
    assert page.input_value("#search") == "word3"
    assert page.input_value("[data-lambda]") == "1"


def test_addresses_of_nothing_say_so(page_of, told):
    page = page_of(told, "%E0%A4%A")
    for hash in ("", "latent=99999", "latent=-1", "latent=x", "row=99999", "compare&a=row:9999&b=label:99", "none=1"):
        go(page, hash)
        assert page.locator("main h1").count() == 1
        assert "undefined" not in page.locator("main").inner_text()


def test_no_click_is_lost_while_the_address_is_written(page_of, told):
    page = page_of(told)
    page.evaluate(
        """async () => {
          dsae.set({ sort: "rate" });
          await new Promise(done => setTimeout(done, 150));  // as late as the address
          dsae.set({ sort: "mean" });
        }"""
    )
    page.wait_for_function("() => location.hash === '#latents&sort=mean'")
    settled(page)
    assert page.evaluate("() => [dsae.state.params.sort, location.hash]") == ["mean", "#latents&sort=mean"]


def test_where_one_goes_while_the_address_is_written_is_where_one_arrives(page_of, told):
    """The new address is there before the page is told, and the old one might be written in between."""
    page = page_of(told, "latents")
    page.evaluate("""async () => {
        dsae.set({ sort: "rate" });
        history.replaceState(null, "", "#latent=3");  // sends no event
        await new Promise(done => setTimeout(done, 300));
        dispatchEvent(new HashChangeEvent("hashchange"));
    }""")
    page.wait_for_selector("main[data-latent='3']")
    assert page.evaluate("location.hash") == "#latent=3"


def test_notes_are_kept_found_and_exported(page_of, told):
    page = page_of(told, "latent=3")
    page.locator("[data-note]").fill(f"a note {NASTY}")
    page.reload()
    settled(page)
    assert page.locator("[data-note]").input_value() == f"a note {NASTY}"
    go(page, "latents&filter=noted")
    assert column(downloaded(page), "latent").tolist() == [3]
    with page.expect_download() as got:
        page.locator("[data-notes]").click()
    (entry,) = json.loads(got.value.path().read_text("utf-8"))["notes"]
    assert (entry["latent"], entry["note"]) == (3, f"a note {NASTY}")
    assert page.evaluate("window.broken") is None
    page.evaluate("dsae.note(3, '')")


LINES = {
    "latents": "describe(model, X)",
    "latent=5": "describe(model, X, latents=[5])",
    "row=17": "contributions(model, X[[17]])",
    "row=17&off=1,2": "ablate(model, X[[17]], latents=[1, 2])",
    "compare&a=row:3&b=row:8": "compare(model, X[[3]], X[[8]])",
    "compare&a=label:0&b=latent:7": None,
    "compare&a=text:WORD11&b=rest": None,
    "map": "neighbours(model)",
    "map&of=rows": "model.encode(X)",
    "health": "evaluate(model, X)",
    "about": "model",
}
DEEP = {
    "latents": LINES["latents"],
    "row=17": "contributions(model, X[[17]], base=dsae.interpret.mean_code(model, X))",
    "compare&a=label:0&b=latent:7": None,
    "map": "neighbours(model, X)",
}
TAKEN = "dsae.interpret.take(model, X, [17])"
BOTH = {
    **{"latents": LINES["latents"], "latent=5": LINES["latent=5"], "map": DEEP["map"], "about": "model"},
    "row=17": f"contributions(model, {TAKEN}, base=dsae.interpret.mean_code(model, X))",
    "row=17&off=1,2": f"ablate(model, {TAKEN}, latents=[1, 2])",
    "compare&a=label:0&b=latent:7": None,
    "compare&a=row:3&b=rest": "compare(model, dsae.interpret.take(model, X, [3]), X)",
    "map&of=rows": "model.encode(X)",
    "health": "(dsae.metrics.activation_rates(model.encode(X)), model.fvu_table(X))",
}


class Label:
    """A label that is no text, as numbers are none."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


@each({"kind, lines": [("told", LINES), ("deep", DEEP), ("both", BOTH)]})
def test_every_view_says_its_python(request, page_of, kind, lines):
    explored = request.getfixturevalue(kind)
    labels = [Label(label) for label in explored.labels]
    names = {"dsae": dsae, "model": explored.model, "X": explored.X, "labels": labels, "texts": explored.texts}
    for view, call in lines.items():
        page = page_of(explored, view)
        line = page.locator("[data-python]").inner_text()
        assert call is None or line.endswith(call), line
        found, table = eval(line, names), downloaded(page)
        assert found is not None
        agrees(view, found, table)
        assert len(table) > 1
        assert all(None not in row and None not in row.values() for row in table)


def agrees(view, found, table):
    """What a line gives are the numbers of its view."""
    if view == "latents":  # in the same order
        assert [at.latent for at in found] == column(table, "latent")[: len(found)].tolist()
        np.testing.assert_allclose([at.share for at in found], column(table, "energy")[: len(found)], rtol=1e-3)
    elif view.startswith("compare"):
        shown = {int(row["latent"]): row for row in table}
        for latent, *numbers in zip(found.latents, found.mean_a, found.mean_b, found.rate_a, found.rate_b, strict=True):
            if latent not in shown:  # which says those that differ
                assert numbers[0] == pytest.approx(numbers[1], abs=1e-6)
                continue
            told = [float(shown[latent][key]) for key in ("mean_a", "mean_b", "rate_a", "rate_b")]
            np.testing.assert_allclose(numbers, told, rtol=2e-3, atol=1e-5)
    elif view == "row=17" and found.method == "exact":
        latents, rise = found.effects(0)
        shown = dict(zip(column(table, "latent"), column(table, "rise_without"), strict=True))
        np.testing.assert_allclose(rise, [shown[i] for i in latents], rtol=2e-3, atol=1e-4 * np.abs(rise).max())


def test_lines_choose_rows_of_what_is_no_array(page_of, told):
    page = page_of(told, "row=17")
    page.evaluate("dsae.index.python.array = ''; dsae.redraw()")
    page.wait_for_function("() => document.querySelector('[data-python]').textContent.includes('take')")
    line = page.locator("[data-python]").inner_text()
    assert line == f"dsae.interpret.contributions(model, {TAKEN})"
    assert len(eval(line, {"dsae": dsae, "model": told.model, "X": told.X}).of(0)[0]) > 1
    page.evaluate("dsae.index.python.array = 'X'; dsae.redraw()")
    page.wait_for_function("() => !document.querySelector('[data-python]').textContent.includes('take')")


class Codes:
    """Codes of rows that are not there."""

    n_features = N_LATENTS

    def __init__(self, codes):
        self.codes = sp.csr_matrix(codes)

    def __len__(self):
        return self.codes.shape[0]

    def batches(self, batch_size, seed=None):
        yield self.codes


def test_without_rows_lines_read_the_folder(opened, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = Codes(told.model.encode(told.X))
    page = opened(dsae.explore(told.model, None, "bare", codes=codes).absolute() / "index.html", "#latents")
    views = {"latents": "n_on", "latent=3": "examples", "row=3": "code", "compare&a=row:1&b=row:2": "norm"}
    for view, key in {**views, "map&of=rows": "rows", "health": "mean_l0"}.items():
        go(page, view)
        line = page.locator("[data-python]").inner_text()
        assert line.startswith('dsae.explorer.read_shard("bare", "'), line
        assert key in eval(line, {"dsae": dsae})
        assert downloaded(page)


def test_formulas_in_names_do_not_run_in_a_spreadsheet(page_of, told):
    made = page_of(told).evaluate(
        "dsae.csv(['name'], [['=1+1'], ['@x'], ['a\"b,c'], [-1.5], [null], ['line\\nbreak']])"
    )
    assert made == 'name\n\'=1+1\n\'@x\n"a""b,c"\n-1.5\n\n"line\nbreak"\n'


def test_words_that_made_a_latent_fire_are_marked(page_of, told):
    latent = int(np.argmax(told.truth.energy))
    page = page_of(told, f"latent={latent}")
    marks = page.locator("[data-part=rows] .example mark").all_inner_texts()
    read = {told.names[j] for j in np.flatnonzero(told.truth.reads[latent])}
    assert len(marks) > 5
    assert set(marks) <= read
    text = page_of(told, "row=5").locator("[data-part=text]").inner_text()
    assert "end of 5" in text
    assert NASTY in text


def test_a_single_file_shows_the_same(page_of, opened, make_model, told, tmp_path):
    single = explorers.told(make_model, tmp_path / "one", single=True)
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["index.html"]
    alone, asked = opened(single.page, "#latents&sort=latent&up=1"), []
    settled(alone)
    alone.on("request", lambda request: asked.append(request.url))
    for hash in ("latents&sort=latent&up=1", "latent=3", "row=5", "health"):
        page = page_of(told, hash)
        go(alone, hash)
        assert alone.locator("main").inner_text() == page.locator("main").inner_text()
        assert downloaded(alone) == downloaded(page)
    assert [url for url in asked if url.startswith("file:")] == []


def test_scripts_that_are_not_the_pages_own_do_not_run(browser, told):
    """As one in a name would, if it were ever written unescaped."""
    path = told.page
    planted = path.read_text("utf-8").replace(
        "</body>", "<script>window.broken = 1</script><img src=x onerror='window.broken = 2'></body>"
    )
    assert planted != path.read_text("utf-8")
    (path.parent / "planted.html").write_text(planted, "utf-8")
    with page_in(browser) as page:
        page.goto((path.parent / "planted.html").as_uri())
        page.wait_for_selector(".long .line")
        assert page.evaluate("window.broken") is None
    (path.parent / "planted.html").unlink()
