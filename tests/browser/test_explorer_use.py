"""What one does in an explorer: search, sort, walk, note, download, change a latent and see what it did."""

import csv
import json
import re

import numpy as np
import pytest
from tests.covering import each

import dsae.interpret
import dsae.metrics
from dsae import Runtime, explore

WORDS = [f"word{j}" for j in range(12)]
LABELS = ["left", "right", "up"]


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(12, 40, live=0.5, seed=3, code_activation="topk", k=4)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).normal(0, 1, (200, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def given(rows):
    return {
        "names": WORDS,
        "labels": [LABELS[i % 3] for i in range(len(rows))],
        "texts": [f"It says word{i % 12} and more." for i in range(len(rows))],
        "expressions": {"model": "model", "rows": "X"},
    }


@pytest.fixture(scope="module")
def folder(model, rows, given, tmp_path_factory):
    return explore(model, rows, tmp_path_factory.mktemp("use") / "explorer", **given)


@pytest.fixture
def page(opened, folder):
    page = opened(folder / "index.html")
    page.wait_for_selector(".long .line")
    return page


def goto(page, hash):
    page.evaluate("hash => { location.hash = hash; }", hash)


def until(page, script, given=None):
    """Wait until ``script`` is true. Playwright's own way compiles a text in the page, which its policy forbids."""
    for _ in range(400):
        if page.evaluate(script, given):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never true: {script}")


def shown(page):
    """Numbers of the latents in the list that are in sight."""
    return [int(text) for text in page.locator(".long .line span:first-child[role=cell]").all_inner_texts()]


def state(page):
    return page.url.partition("#")[2]


def fact(page, name):
    return float(page.locator(f"[data-fact={name}]").inner_text().split()[0].replace(",", ""))


def downloaded(page, selector):
    with page.expect_download() as waiting:
        page.click(selector)
    return waiting.value.path().read_text("utf-8")


@pytest.fixture(scope="module")
def columns(model, rows):
    """Rate, energy and mean of each latent."""
    codes = Runtime(model).encode(rows).astype(np.float64)
    on = codes != 0
    norms = np.linalg.norm(model.layers["decoder.0"].to_dense(), axis=0)
    energy = (codes**2).mean(axis=0) * norms**2
    return {"rate": on.mean(axis=0), "energy": energy / energy.sum(), "codes": codes}


@each(key=["rate", "energy"])
def test_the_list_is_sorted_as_asked(page, columns, key):
    goto(page, f"#latents&sort={key}")
    page.wait_for_selector(f"[aria-sort=descending] [data-sort={key}]")
    values = columns[key][shown(page)]
    assert len(values) > 10
    assert (np.diff(values) <= 1e-4 * values[:-1] + 1e-9).all()
    page.click(f"[data-sort={key}]")
    page.wait_for_selector(f"[aria-sort=ascending] [data-sort={key}]")
    assert (np.diff(columns[key][shown(page)]) >= -1e-9).all()


def test_filters_and_labels_leave_what_they_say(page, columns):
    page.click("[data-filter=dead]")
    until(page, "document.querySelector('[data-filter=dead]').ariaPressed === 'true'")
    assert sorted(shown(page)) == np.flatnonzero(columns["rate"] == 0).tolist()
    page.click("[data-filter=frequent]")
    until(page, "document.querySelector('[data-filter=frequent]').ariaPressed === 'true'")
    assert int(page.get_attribute("[data-count]", "data-count")) == (columns["rate"] > 0.1).sum()


def test_search_finds_words_and_numbers_and_keys_walk_what_was_found(page, model):
    page.keyboard.press("/")
    page.keyboard.type("word7")
    until(page, "location.hash.includes('q=word7')")
    writes = np.abs(model.layers["decoder.0"].to_dense()[7]) > 0
    found = shown(page)
    assert 0 < len(found) < 40
    assert writes[found].all()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"main[data-latent='{found[0]}']")
    page.keyboard.press("j")
    page.wait_for_selector(f"main[data-latent='{found[1]}']")
    page.keyboard.press("k")
    page.wait_for_selector(f"main[data-latent='{found[0]}']")
    assert "q=word7" in state(page)
    page.keyboard.press("/")
    page.keyboard.press("Control+a")
    page.keyboard.type("13\n")
    page.wait_for_selector("main[data-latent='13']")


def test_an_address_opens_the_same_view_again(opened, folder):
    page = opened(folder / "index.html", "#latent=5&sort=rate&q=word3&lambda=1")
    page.wait_for_selector("main[data-latent='5'] [data-part=writes]")
    assert page.input_value("#search") == "word3"
    assert page.input_value("[data-lambda]") == "1"
    page.click("a[data-view=latents]")
    page.wait_for_selector("[aria-sort=descending] [data-sort=rate]")
    page.go_back()
    page.wait_for_selector("main[data-latent='5']")


def test_notes_are_kept_found_and_exported(page):
    goto(page, "#latent=9")
    page.fill("[data-note]", 'about "nine", <b>')
    page.reload()
    page.wait_for_selector("main[data-latent='9'] [data-note]")
    assert page.input_value("[data-note]") == 'about "nine", <b>'
    goto(page, "#latents&filter=noted")
    page.wait_for_selector("[data-filter=noted][aria-pressed=true]")
    assert shown(page) == [9]
    notes = json.loads(downloaded(page, "[data-notes]"))["notes"]
    assert [(note["latent"], note["note"]) for note in notes] == [(9, 'about "nine", <b>')]


@each(
    {
        "view, n, call": [
            ("latents", 40, "describe(model, X)"),
            ("latent=5", None, "describe(model, X, latents=[5])"),
            ("row=17", 4, "contributions(model, X[[17]])"),
            ("compare&a=row:3&b=row:8", None, "compare(model, X[[3]], X[[8]])"),
            ("map", 40, "neighbours(model)"),
            ("health", None, "evaluate(model, X)"),
            ("about", None, "model"),
        ]
    }
)
def test_every_view_says_its_python_and_gives_its_numbers(page, model, rows, view, n, call):
    goto(page, "#" + view)
    until(page, "call => (document.querySelector('[data-python]') || {}).textContent?.endsWith(call)", call)
    line = page.inner_text("[data-python]")
    assert eval(line, {"dsae": dsae, "model": Runtime(model), "X": rows}) is not None
    table = list(csv.reader(downloaded(page, "[data-csv]").splitlines()))
    assert len({len(line) for line in table}) == 1
    assert len(table) > 1
    if n is not None:
        assert len(table) == n + 1


def test_formulas_in_names_do_not_run_in_a_spreadsheet(page):
    told = page.evaluate("dsae.csv(['name'], [['=1+1'], ['@x'], ['a\"b,c'], [-1.5], [null], ['line\\nbreak']])")
    assert told == 'name\n\'=1+1\n\'@x\n"a""b,c"\n-1.5\n\n"line\nbreak"\n'


def test_what_if_shows_the_error_that_decoding_gives(page, model, rows, columns):
    latent = int(columns["energy"].argmax())
    goto(page, f"#latent={latent}")
    page.wait_for_selector("[data-part=whatif] .note")
    row = int(page.locator("[data-part=rows] .example").first.get_attribute("data-row"))
    assert row == columns["codes"][:, latent].argmax()
    page.locator("[data-whatif]").evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    until(page, "location.hash.includes('v=0')")
    told = page.inner_text("[data-part=whatif]").replace(",", "")
    before, after = map(float, re.findall(r"Squared error ([\d.]+) before ([\d.]+) after", told)[0])
    code = Runtime(model).encode(rows[[row]])
    np.testing.assert_allclose(before, error(model, code, rows[row]), rtol=6e-3)
    code[0, latent] = 0
    np.testing.assert_allclose(after, error(model, code, rows[row]), rtol=6e-3)


def error(model, code, x):
    return float(np.square(Runtime(model).decode(code)[0].astype(np.float64) - x).sum())


def test_latents_are_switched_off_together(page, model, rows):
    goto(page, "#row=17")
    page.wait_for_selector("[data-part=waterfall] tr[data-latent]")
    chosen = page.locator("[data-part=waterfall] tr[data-latent]")
    latents = [int(chosen.nth(i).get_attribute("data-latent")) for i in range(2)]
    for i in range(2):
        chosen.nth(i).locator("input").check()
    until(page, "latents => location.hash.includes('off=' + latents)", ",".join(map(str, latents)))
    code = Runtime(model).encode(rows[[17]])
    assert fact(page, "on") == np.count_nonzero(code)
    np.testing.assert_allclose(fact(page, "error"), error(model, code, rows[17]), rtol=6e-3)
    code[0, latents] = 0
    told = float(page.inner_text("[data-part=ablated] [data-error]").replace(",", ""))
    np.testing.assert_allclose(told, error(model, code, rows[17]), rtol=6e-3)


@each(shape=[(4, 5), (3, 4, 5)])
def test_a_code_decoded_in_the_page_is_the_picture_of_the_reconstruction(opened, make_model, tmp_path, shape):
    """In grey and in colour, whose features come one channel after another."""
    n = int(np.prod(shape))
    X = np.random.default_rng(2).random((30, n)).astype(np.float32)
    model = make_model(n, 8, live=0.5, seed=1, code_activation="topk", k=3)
    path = explore(model, X, tmp_path / f"pictures-{n}", image_shape=shape)
    page = opened(path / "index.html", "#row=7")
    page.wait_for_selector("[data-part=waterfall] input")
    page.locator("[data-part=waterfall] input").first.check()
    page.wait_for_selector("[data-part=ablated] canvas")
    seen = [
        page.locator(f"[data-part={part}] canvas")
        .nth(at)
        .evaluate("c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
        for part, at in (("pictures", 1), ("ablated", 0), ("ablated", 1))
    ]
    rebuilt, whole, without = np.array(seen)
    assert len(rebuilt) == 4 * shape[-2] * shape[-1]
    np.testing.assert_allclose(whole, rebuilt, atol=1)
    assert np.abs(without - rebuilt).max() > 5


def test_words_that_made_a_latent_fire_are_marked(page, columns):
    goto(page, f"#latent={int(columns['energy'].argmax())}")
    page.wait_for_selector("[data-part=rows] .example mark")
    for text in page.locator("[data-part=rows] .example mark").all_inner_texts():
        assert text in WORDS


def test_groups_by_a_filter_are_counted_over_stored_rows(page, columns):
    latent = int(columns["rate"].argmax())
    goto(page, f"#compare&a=latent:{latent}&b=rest")
    page.wait_for_selector(f"[data-part=difference] tr[data-latent='{latent}']")
    told = float(page.inner_text(f"tr[data-latent='{latent}'] [data-difference]"))
    codes = columns["codes"]
    expected = codes[codes[:, latent] != 0, latent].mean() - codes[:, latent].mean()
    np.testing.assert_allclose(told, expected, rtol=6e-3)


def test_a_single_file_shows_the_same(opened, model, rows, given, tmp_path, page):
    single = explore(model, rows, tmp_path / "single", single=True, **given)
    alone = opened(single / "index.html")
    assert [path.name for path in single.iterdir()] == ["index.html"]
    views = {
        "latent=0": "main[data-latent='0'] .text",
        "row=30": "main[data-row='30'] .text",
        "health": "[data-tile=dead]",
    }
    for hash, there in views.items():
        for one in (page, alone):
            goto(one, "#" + hash)
            one.wait_for_selector(there)
        for _ in range(200):  # shards arrive one after another
            texts = [one.inner_text("main") for one in (page, alone)]
            if texts[0] == texts[1] and "loading" not in texts[0]:
                break
            page.wait_for_timeout(50)
        assert texts[0] == texts[1]


def test_scripts_that_are_not_the_pages_own_do_not_run(browser, folder):
    """As one in a name would, if it were ever written unescaped."""
    written = (folder / "index.html").read_text("utf-8")
    planted = written.replace(
        "</body>", "<script>window.broken = 1</script><img src=x onerror='window.broken = 2'></body>"
    )
    assert planted != written
    (folder / "planted.html").write_text(planted, "utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "planted.html").as_uri())
    page.wait_for_selector(".long .line")
    assert page.evaluate("window.broken") is None
    context.close()
    (folder / "planted.html").unlink()
