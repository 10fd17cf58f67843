"""What one does in an explorer: search, sort, walk, note, link, download; names are text wherever they stand."""

import json
import re

import numpy as np
from tests.browser import explorers
from tests.browser.conftest import NARROW, WIDE, lightness, overflow, page_in
from tests.browser.explorers import N_LATENTS, NASTY, PICTURED, VIEWS, column, downloaded, go, settled
from tests.covering import each


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
        if view.startswith("compare"):  # a table that is read at a glance
            wider = "table => table.parentElement.scrollWidth - table.parentElement.clientWidth"
            assert page.locator(".butterfly").evaluate(wider) <= 0, view
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
