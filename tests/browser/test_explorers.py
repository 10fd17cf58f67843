"""Explorers as a reader sees them: every number is Python's, every picture is that of the row it stands under."""

import json
import re

import numpy as np
import pytest
from tests.browser import explorers
from tests.browser.conftest import NARROW, WIDE, lightness, overflow
from tests.browser.explorers import N_FEATURES, N_LATENTS, N_ROWS, NASTY, Truth, column, downloaded, go, settled
from tests.covering import each

from dsae import metrics
from dsae.explorer import explore
from dsae.pages import percent
from dsae.runtime import Runtime

VIEWS = ["latents", "latent=3", "row=5", "compare", "map", "map&of=rows", "health", "about"]
PICTURED = ["latents", "latent=3", "row=5", "compare&a=row:3&b=row:8"]
DIGITS = 5.1e-3  # three are shown


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(N_FEATURES, N_LATENTS, live=0.3, hidden_layer_sizes=(), code_activation="topk", k=6)


@pytest.fixture(scope="module")
def told(model, tmp_path_factory):
    """An explorer of counts of words with names, labels, texts and ids, of which many look like HTML."""
    X = explorers.counts()
    labels = [f"kind {NASTY if row % 3 else 'plain'} {row % 4}" for row in range(N_ROWS)]
    ids = [f"doc-{row} {NASTY}" for row in range(N_ROWS)]
    texts = explorers.documents(X)
    given = {"names": explorers.words(), "labels": labels, "texts": texts, "ids": ids, "title": NASTY}
    folder = explore(model, X, tmp_path_factory.mktemp("told") / "explorer", **given)
    return folder / "index.html", Truth(model, X, labels)


@pytest.fixture(scope="module")
def seen(model, tmp_path_factory):
    """An explorer of pictures, each of which shows the number of its row."""
    X = explorers.bits()
    folder = explore(model, X, tmp_path_factory.mktemp("seen") / "explorer", image_shape=(8, 8))
    return folder / "index.html", Truth(model, X, ["none"] * N_ROWS)


def numbers(texts):
    found = [re.search(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", text) for text in texts]
    percents = ["%" in text for text in texts]
    values = [np.nan if hit is None else float(hit[0].replace(",", "")) for hit in found]
    return np.where(percents, np.array(values) / 100, values)


@each(
    {"kind, size, dark": [("told", WIDE, False), ("told", NARROW, True), ("seen", NARROW, False), ("seen", WIDE, True)]}
)
def test_every_view_fits_its_window_and_names_are_text_in_it(request, opened, kind, size, dark):
    path, _ = request.getfixturevalue(kind)
    page = opened(path, size=size, dark=dark)
    for view in VIEWS if kind == "told" else PICTURED:
        go(page, view)
        assert overflow(page) <= 0, view
        assert (lightness(page, "background-color") < 0.3) == dark, view
        assert page.locator("main h1").count() == 1, view
        assert page.locator(".wrong, img[src=x]").count() == 0, view
        assert not re.search(r"\b(undefined|NaN)\b", page.locator("#page").inner_text()), view
        assert page.title().count(NASTY) == (kind == "told"), view
    assert page.evaluate("window.broken") is None


def test_latents_have_the_numbers_of_python(opened, told):
    path, truth = told
    page = opened(path, "#latents&sort=latent&up=1")
    settled(page)
    table = downloaded(page)
    assert column(table, "latent").tolist() == list(range(N_LATENTS))
    np.testing.assert_array_equal(column(table, "rows_on"), truth.on.sum(axis=0))
    np.testing.assert_allclose(column(table, "rate"), truth.on.mean(axis=0))
    np.testing.assert_allclose(column(table, "energy"), truth.energy, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(column(table, "mean_on"), truth.mean_on(), rtol=1e-3)
    np.testing.assert_allclose(column(table, "cosine"), truth.cosines().max(axis=0), rtol=1e-3, atol=1e-4)
    for row, lift in zip(table, column(table, "lift"), strict=True):
        if lift == lift:
            assert lift == pytest.approx(truth.lift(row["label"])[int(row["latent"])], rel=1e-3)
    lines = page.locator(".long .line").evaluate_all("all => all.map(e => [...e.children].map(c => c.textContent))")
    assert len(lines) >= 15
    for key, at in (("rate", 2), ("energy", 3), ("mean_on", 4), ("max", 5), ("lift", 7), ("cosine", 8)):
        shown = numbers([line[at] for line in lines])
        wanted = column(table, key)[: len(lines)]
        there = ~np.isnan(shown)
        assert there.sum() >= (wanted > 0).sum() - np.isnan(wanted).sum()
        np.testing.assert_allclose(shown[there], wanted[there], rtol=DIGITS)


def sorted_by(page, key, order):
    """Click on the head of a column, which then has an order."""
    page.locator(f"[data-sort={key}]").click()
    page.wait_for_selector(f"[aria-sort={order}] [data-sort={key}]")


def test_sorting_sorts(opened, told):
    page = opened(told[0])
    settled(page)
    for sort in ("rate", "mean", "max", "cosine", "lift", "energy"):
        sorted_by(page, sort, "descending")
        key = {"mean": "mean_on"}.get(sort, sort)
        down = column(downloaded(page), key)
        known = down[~np.isnan(down)]
        assert (np.diff(known) <= 0).all()
        assert np.isnan(down[len(known) :]).all()
        sorted_by(page, sort, "ascending")
        up = column(downloaded(page), key)
        np.testing.assert_array_equal(up[~np.isnan(up)], known[::-1])


def test_a_latent_has_the_numbers_of_python(opened, told):
    path, truth = told
    page = opened(path)
    settled(page)
    for latent in np.argsort(-truth.energy)[[0, 3, 9]]:
        go(page, f"latent={latent}")
        table = downloaded(page)

        def part(what, table=table):
            rows = [row for row in table if row["what"] == what]
            return column(rows, "number").astype(int), column(rows, "value"), [row["name"] for row in rows]

        for what, weights in (("writes", truth.decoder[:, latent]), ("reads", truth.encoder[latent])):
            features, values, names = part(what)
            assert len(features) >= 10
            np.testing.assert_allclose(values, weights[features], rtol=1e-3)
            assert names == [explorers.words()[j] for j in features]
        assert np.argmax(np.abs(truth.decoder[:, latent])) in part("writes")[0]
        rows, values, groups = part("example")
        np.testing.assert_allclose(values, truth.codes[rows, latent], rtol=1e-3)
        assert (values != 0).all()
        strongest = [row for row, group in zip(rows, groups, strict=True) if group == "strongest"]
        wanted = np.lexsort((np.arange(N_ROWS), -np.abs(truth.codes[:, latent])))
        assert strongest == wanted[: min(12, truth.on[:, latent].sum())].tolist()
        others, values, _ = part("cosine")
        np.testing.assert_allclose(values, truth.cosines()[latent, others], rtol=1e-3, atol=1e-4)
        for row in (row for row in table if row["what"] == "label"):
            assert float(row["value"]) == pytest.approx(truth.lift(row["name"])[latent], rel=1e-3)
        facts = {name: page.locator(f"[data-fact={name}]").inner_text() for name in ("rate", "energy", "mean", "norm")}
        assert facts["rate"] == percent(truth.on[:, latent].mean())
        shown = numbers([facts["energy"], facts["mean"], facts["norm"]])
        np.testing.assert_allclose(
            shown, [truth.energy[latent], truth.mean_on()[latent], truth.norms[latent]], rtol=DIGITS
        )
        bars = page.locator("[data-part=writes] .bars > *").all_inner_texts()
        wanted = [truth.decoder[explorers.words().index(name), latent] for name in bars[::3]]
        np.testing.assert_allclose(numbers(bars[2::3]), wanted, rtol=DIGITS)


def test_the_slider_shows_what_decoding_another_value_gives(opened, told):
    path, truth = told
    latent = int(np.argmax(truth.energy))
    row = int(np.argmax(truth.codes[:, latent]))
    page = opened(path)
    settled(page)
    for value in (0.0, 2.5):
        go(page, f"latent={latent}&of={row}&v={value}")
        page.wait_for_selector("[data-part=whatif] tbody tr")
        code = truth.codes[row].copy()
        before, was = truth.decode(code), truth.error(row, code)
        code[latent] = value
        after, error = truth.decode(code), truth.error(row, code)
        lines = page.locator("[data-part=whatif] tbody tr").evaluate_all(
            "all => all.map(row => [...row.cells].map(c => c.title || c.textContent))"
        )
        features = [explorers.words().index(line[0]) for line in lines]
        np.testing.assert_allclose(numbers([line[1] for line in lines]), before[features], rtol=DIGITS, atol=1e-4)
        np.testing.assert_allclose(numbers([line[2] for line in lines]), after[features], rtol=DIGITS, atol=1e-4)
        note = page.locator("[data-part=whatif] .note").inner_text()
        np.testing.assert_allclose(numbers(note.split("before,")), [was, error], rtol=DIGITS)


def test_rows_have_the_numbers_of_python(opened, told):
    path, truth = told
    page = opened(path)
    settled(page)
    for row in (0, 5, 77):
        go(page, f"row={row}")
        check_row(page, truth, row)


def check_row(page, truth, row):
    order, drops, rises = truth.waterfall(row)
    table = downloaded(page)
    assert column(table, "latent").tolist() == order
    size = truth.error(row, np.zeros(N_LATENTS))
    np.testing.assert_allclose(column(table, "value"), truth.codes[row, order], rtol=1e-3)
    np.testing.assert_allclose(column(table, "drop"), drops, rtol=1e-3, atol=1e-4 * size)
    np.testing.assert_allclose(column(table, "rise_without"), rises, rtol=1e-3, atol=1e-4 * size)
    shown = page.locator("[data-part=waterfall] [data-drop]").all_inner_texts()
    np.testing.assert_allclose(numbers(shown), drops, rtol=DIGITS, atol=1e-4 * size)
    facts = [page.locator(f"[data-fact={name}]").inner_text() for name in ("on", "error", "start")]
    wanted = [truth.on[row].sum(), truth.error(row, truth.codes[row]), size]
    np.testing.assert_allclose(numbers(facts), wanted, rtol=DIGITS)
    lines = page.locator("[data-part=features] tbody tr").evaluate_all(
        "all => all.map(row => [...row.cells].map(c => c.title || c.textContent))"
    )
    features = [explorers.words().index(line[0]) for line in lines]
    rebuilt = truth.decode(truth.codes[row])
    np.testing.assert_array_equal(numbers([line[1] for line in lines]), truth.X[row, features])
    np.testing.assert_allclose(numbers([line[2] for line in lines]), rebuilt[features], rtol=DIGITS, atol=1e-3)
    assert f"end of {row}" in page.locator("[data-part=text]").inner_text()


def test_latents_are_switched_off_as_python_does(opened, told):
    path, truth = told
    page = opened(path, "#row=5")
    settled(page)
    order, _, _ = truth.waterfall(5)
    code = truth.codes[5].copy()
    for n, latent in enumerate(order[:2], 1):  # one after the other
        page.locator(f"[data-part=waterfall] tr[data-latent='{latent}'] input").click()
        page.wait_for_function(
            "n => document.querySelectorAll('[data-part=waterfall] input:checked').length === n", arg=n
        )
        code[latent] = 0
    page.wait_for_function("hash => location.hash === hash", arg=f"#row=5&off={order[0]},{order[1]}")
    settled(page)
    shown = page.locator("[data-part=ablated] [data-error]").inner_text()
    np.testing.assert_allclose(numbers([shown]), [truth.error(5, code)], rtol=DIGITS)
    assert "dsae.interpret.ablate(" in page.locator("[data-python]").inner_text()


GROUPS = ("row:3", "row:8"), ("label:0", "label:1"), ("label:2", "rest"), ("latent:7", "rest"), ("text:word5", "rest")


def test_comparisons_have_the_numbers_of_python(opened, told):
    path, truth = told
    page = opened(path)
    settled(page)
    for a, b in GROUPS:
        go(page, f"compare&a={a}&b={b}")
        check_comparison(page, truth, a, b)


def check_comparison(page, truth, a, b):
    names = sorted(set(truth.labels.tolist()))
    texts = [text.lower() for text in explorers.documents(explorers.counts())]

    def rows(group):
        kind, _, of = group.partition(":")
        if kind == "row":
            return np.arange(N_ROWS) == int(of)
        if kind == "label":
            return truth.labels == names[int(of)]
        if kind == "latent":
            return truth.on[:, int(of)]
        return np.array([of in text for text in texts])

    table = downloaded(page)
    latents = column(table, "latent").astype(int)
    for side, group in (("a", a), ("b", b)):
        chosen = truth.codes[rows(group)]
        np.testing.assert_allclose(column(table, f"mean_{side}"), chosen.mean(axis=0)[latents], rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(column(table, f"rate_{side}"), (chosen != 0).mean(axis=0)[latents], rtol=1e-3)
    difference = truth.codes[rows(a)].mean(axis=0) - truth.codes[rows(b)].mean(axis=0)
    weights = np.abs(difference) * truth.norms
    assert (np.diff(weights[latents]) <= 1e-3 * weights.max()).all()
    assert set(np.flatnonzero(weights > 1e-3 * weights.max())) <= set(latents)
    shown = page.locator("[data-difference]").all_inner_texts()
    np.testing.assert_allclose(numbers(shown), difference[latents[: len(shown)]], rtol=DIGITS, atol=1e-4)


def test_health_and_about_have_the_numbers_of_python(opened, told, model):
    path, truth = told
    page = opened(path, "#health")
    settled(page)
    rates = truth.on.mean(axis=0)
    fvu = metrics.fvu(truth.X, Runtime(model).reconstruct(truth.X.astype(np.float32)))
    wanted = {"dead": (rates == 0).sum(), "frequent": (rates > 0.1).sum(), "empty": (truth.norms == 0).sum()}
    wanted |= {"duplicates": (truth.cosines().max(axis=0) > 0.9).sum(), "l0": truth.on.sum(axis=1).mean(), "fvu": fvu}
    for key, value in wanted.items():
        text = page.locator(f"[data-tile={key}] b").inner_text()
        assert numbers([text])[0] == pytest.approx(value, rel=DIGITS), key
    l0 = [row for row in downloaded(page) if row["what"] == "l0 histogram from"]
    assert column(l0, "count").sum() == N_ROWS
    errors = np.array([truth.error(row, truth.codes[row]) for row in range(N_ROWS)])
    bars = page.locator("main .bars > a[href^='#row']").all_inner_texts()
    assert numbers(bars).tolist() == np.argsort(-errors)[: len(bars)].tolist()
    go(page, "about")
    text = page.locator("#page").inner_text()
    assert f"{N_ROWS}" in text
    assert page.locator("[data-part=checks] .ok").count() >= 2
    assert page.locator("[data-part=checks] .bad").count() == 0


def spot(page, table, at):
    """Where a point of the map lies in its canvas, whose longest sides are the spans of the points and a margin."""
    canvas = page.locator("canvas").last.bounding_box()
    place = []
    for key, start, end in (("x", 6, canvas["width"] - 6), ("y", 6, canvas["height"] - 6)):
        values = column(table, key)
        margin = 0.04 * (values.max() - values.min()) or 1
        low, high = values.min() - margin, values.max() + margin
        share = (values[at] - low) / (high - low)
        place.append(start + share * (end - start))
    return canvas, place


def lonely(table):
    """Points of the map with no other near them."""
    places = np.c_[column(table, "x"), column(table, "y")]
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return np.argsort(-apart.min(axis=1))[:3]


def test_a_point_of_the_map_opens_the_row_that_it_is(opened, seen):
    page = opened(seen[0], "#map&of=rows")
    settled(page)
    for colour in ("error", "latent"):
        page.get_by_label("colour").select_option(colour)
        settled(page)
        table = downloaded(page)
        assert column(table, "row").tolist() == list(range(N_ROWS))
        for at in lonely(table)[:2]:
            canvas, (x, y) = spot(page, table, at)
            page.mouse.move(canvas["x"] + x, canvas["y"] + y)
            page.mouse.click(canvas["x"] + x, canvas["y"] + y)
            page.wait_for_selector("main[data-row]")
            settled(page)
            assert page.locator("main").get_attribute("data-row") == table[at]["row"]
            assert shown_row(page) == int(table[at]["row"])
            page.go_back()
            page.wait_for_selector(".scatter canvas")
            settled(page)


def shown_row(page):
    """The number in the picture of the row's page."""
    pixels = page.locator("[data-part=pictures] canvas").first.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 === 0)"
    )
    return explorers.number_in(pixels)


def test_pictures_stay_with_their_rows_through_sorting_and_filtering(opened, seen):
    path, truth = seen
    page = opened(path)
    settled(page)
    sorted_by(page, "rate", "descending")
    page.locator("[data-filter=frequent]").click()
    page.wait_for_selector("[data-filter=frequent][aria-pressed=true]")
    wanted = [i for i in np.lexsort((np.arange(N_LATENTS), -truth.on.sum(axis=0))) if truth.on[:, i].mean() > 0.1]
    assert column(downloaded(page), "latent").tolist() == wanted
    page.locator(".long .line").first.click()
    walked = []
    for _ in range(4):
        page.wait_for_selector("[data-part=rows] .example canvas")
        settled(page)
        latent = int(page.locator("main").get_attribute("data-latent"))
        walked.append(latent)
        found = explorers.pictures(page, "[data-part=rows]")
        assert found
        for row, pixels in found:
            assert explorers.number_in(pixels) == row
            assert truth.on[row, latent]
        page.keyboard.press("j")
        page.wait_for_function("i => document.querySelector('main').dataset.latent !== i", arg=str(latent))
    assert walked == wanted[:4]


def test_every_row_shows_its_own_picture_in_any_order(opened, seen):
    page = opened(seen[0], "#row=0")
    settled(page)
    for row in (119, 3, 64, 4):  # other shards, and back
        go(page, f"row={row}")
        assert page.locator("main").get_attribute("data-row") == str(row)
        assert shown_row(page) == row
    page.keyboard.press("k")
    page.wait_for_selector("main[data-row='3']")
    settled(page)
    assert shown_row(page) == 3


def test_a_search_finds_latents_by_what_they_write_and_by_label(opened, told):
    path, truth = told
    page = opened(path)
    settled(page)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("word11")
    page.wait_for_function("() => location.hash.includes('q=word11')")
    settled(page)
    found = column(downloaded(page), "latent").astype(int)
    effect = np.abs(truth.decoder[11]) * np.nan_to_num(truth.mean_on())
    assert 0 < len(found) < N_LATENTS
    assert np.argmax(effect) in found
    assert (truth.decoder[11, found] != 0).all()
    page.keyboard.press("/")
    page.keyboard.press("Enter")
    page.wait_for_selector("main[data-latent]")
    assert int(page.locator("main").get_attribute("data-latent")) == found[0]
    page.keyboard.press("/")
    page.keyboard.type(NASTY)
    page.wait_for_function("() => document.querySelector('main .title h1').textContent === 'Latents'")
    settled(page)
    assert page.evaluate("window.broken") is None


def test_the_state_is_in_the_address(opened, told):
    page = opened(told[0], "#latents&sort=rate&filter=frequent")
    settled(page)
    first = downloaded(page)
    page.reload()
    settled(page)
    assert downloaded(page) == first
    page.locator(".long .line").first.click()
    page.wait_for_selector("main[data-latent]")
    assert "sort=rate" in page.evaluate("location.hash")
    page.go_back()
    page.wait_for_selector(".long")
    settled(page)
    assert downloaded(page) == first


def test_addresses_of_nothing_say_so(opened, told):
    page = opened(told[0], "#%E0%A4%A")
    settled(page)
    for hash in ("", "latent=99999", "latent=-1", "latent=x", "row=99999", "compare&a=row:9999&b=label:99", "none=1"):
        go(page, hash)
        assert page.locator("main h1").count() == 1
        assert "undefined" not in page.locator("main").inner_text()


def test_notes_are_kept_by_the_browser_and_exported(opened, told):
    page = opened(told[0], "#latent=3")
    settled(page)
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


def test_a_single_file_shows_the_same(opened, model, told, tmp_path):
    X = explorers.counts()
    folder = explore(model, X, tmp_path / "one", names=explorers.words(), labels=told[1].labels.tolist(), single=True)
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else [folder]
    assert len(files) == 1
    asked, page = [], opened(files[0], "#latents&sort=latent&up=1")
    page.on("request", lambda request: asked.append(request.url))
    settled(page)
    table = downloaded(page)
    np.testing.assert_array_equal(column(table, "rows_on"), told[1].on.sum(axis=0))
    go(page, "latent=3")
    go(page, "row=5")
    assert column(downloaded(page), "latent").tolist() == told[1].waterfall(5)[0]
    assert [url for url in asked if url.startswith("file:")] == []


def test_no_click_is_lost_while_the_address_is_written(opened, told):
    page = opened(told[0])
    settled(page)
    page.evaluate(
        """async () => {
          dsae.set({ sort: "rate" });
          await new Promise(done => setTimeout(done, 150));  // as late as the address
          dsae.set({ sort: "mean" });
          await new Promise(done => setTimeout(done, 400));
        }"""
    )
    assert page.evaluate("() => [dsae.state.params.sort, location.hash]") == ["mean", "#latents&sort=mean"]
