"""Every picture is that of the row it stands under, however one came there, and shows what Python computes."""

import numpy as np
from tests.browser import explorers
from tests.browser.explorers import N_LATENTS, N_ROWS, column, downloaded, go, settled
from tests.covering import each

from dsae.config import JointConfig
from dsae.explorer import _latents, explore
from dsae.store import JointModel


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


def test_a_point_of_the_map_opens_the_row_that_it_is(page_of, seen):
    for colour, place in (("error", 0), ("latent", 1)):
        page = page_of(seen, f"map&of=rows&by={colour}")
        table = downloaded(page)
        assert column(table, "row").tolist() == list(range(N_ROWS))
        at = lonely(table)[place]
        canvas, (x, y) = spot(page, table, at)
        page.mouse.move(canvas["x"] + x, canvas["y"] + y)
        page.mouse.click(canvas["x"] + x, canvas["y"] + y)
        page.wait_for_selector("main[data-row]")
        settled(page)
        assert page.locator("main").get_attribute("data-row") == table[at]["row"]
        assert shown_row(page) == int(table[at]["row"])


def shown_row(page):
    """The number in the picture of the row's page."""
    pixels = page.locator("[data-part=pictures] canvas").first.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 === 0)"
    )
    return explorers.number_in(pixels)


def test_pictures_stay_with_their_rows_through_sorting_and_filtering(page_of, seen):
    truth, page = seen.truth, page_of(seen, "latents&sort=max")
    page.locator("[data-sort=rate]").click()
    page.wait_for_selector("[aria-sort=descending] [data-sort=rate]")
    page.locator("[data-filter=frequent]").click()
    page.wait_for_selector("[data-filter=frequent][aria-pressed=true]")
    wanted = [i for i in np.lexsort((np.arange(N_LATENTS), -truth.on.sum(axis=0))) if truth.on[:, i].mean() > 0.1]
    assert column(downloaded(page), "latent").tolist() == wanted
    page.locator(".long .line").first.click()
    walked = []
    for _ in range(3):
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
    assert walked == wanted[:3]


def test_every_row_shows_its_own_picture_in_any_order(page_of, seen):
    page = page_of(seen, "row=0")
    for row in (119, 3, 64, 4):  # there and back
        go(page, f"row={row}")
        assert page.locator("main").get_attribute("data-row") == str(row)
        assert shown_row(page) == row
    page.keyboard.press("k")
    page.wait_for_selector("main[data-row='3']")
    settled(page)
    assert shown_row(page) == 3


def test_what_lies_in_more_files_than_are_kept_is_shown_all_the_same(opened, make_model, tmp_path, monkeypatch):
    monkeypatch.setattr(_latents, "PER_SHARD", 1)
    model = make_model(64, N_LATENTS, live=0.3, hidden_layer_sizes=())  # a code without zeros
    page = opened(explore(model, explorers.bits(), tmp_path / "e", image_shape=(8, 8)) / "index.html")
    n = "document.querySelectorAll('{}').length"
    lines = n.format(".long .line")
    page.wait_for_function(f"() => {lines} > 20 && {lines} === {n.format('.long .line .mini canvas')}")
    page.evaluate("location.hash = 'row=5'")
    page.locator("[data-part=waterfall] input").first.check()
    assert page.locator("[data-part=waterfall] tbody tr").count() > 20
    page.wait_for_selector("[data-part=ablated] [data-error]")


@each(shape=[(4, 5), (3, 4, 5)], hidden=[(), (7,)])
def test_a_code_decoded_in_the_page_is_the_picture_of_the_reconstruction(opened, make_model, tmp_path, shape, hidden):
    """In grey and in colour, whose features come one channel after another; by atoms, and through layers."""
    n = int(np.prod(shape))
    X = np.random.default_rng(2).random((30, n)).astype(np.float32)
    model = make_model(n, 8, live=0.5, seed=1, hidden_layer_sizes=hidden, code_activation="topk", k=3)
    page = opened(explore(model, X, tmp_path / f"pictures-{n}", image_shape=shape) / "index.html", "#row=7")
    page.wait_for_selector("[data-part=waterfall] input")
    page.locator("[data-part=waterfall] input").last.check()  # the first may do nothing, and the others harm
    page.wait_for_selector("[data-part=ablated] canvas")
    pictures = [
        page.locator(f"[data-part={part}] canvas")
        .nth(at)
        .evaluate("c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
        for part, at in (("pictures", 1), ("ablated", 0), ("ablated", 1))
    ]
    rebuilt, whole, without = np.array(pictures)
    assert len(rebuilt) == 4 * shape[-2] * shape[-1]
    np.testing.assert_allclose(whole, rebuilt, atol=1)
    assert np.abs(without - rebuilt).max() > 5


def test_a_picture_that_a_row_lacks_is_not_shown_as_black(opened, make_model, tmp_path):
    code = {"n_components": 4, "code_activation": "relu", "live": 0.9}
    parts = {"seen": make_model(12, seed=1, **code), "told": make_model(5, seed=2, **code)}
    config = JointConfig({name: of.config for name, of in parts.items()})
    model = JointModel(config, parts, {name: np.ones(4, np.float32) for name in parts})
    rng = np.random.default_rng(0)
    X = {name: rng.random((9, of.config.n_features)).astype(np.float32) for name, of in parts.items()}
    X["seen"][2] = np.nan
    page = opened(explore(model, X, tmp_path / "e", image_shape={"seen": (3, 4)}) / "index.html", "#row=3")
    for row, titles in ((3, ["input", "reconstruction", "residual"]), (2, ["reconstruction"])):
        go(page, f"row={row}")
        section = page.locator("[data-part=pictures]")
        assert section.locator("canvas").evaluate_all("all => all.map(c => c.title)") == titles
        assert ("this row has none" in section.inner_text()) == (row == 2)
    go(page, "compare&a=row:2&b=row:3")
    drawn = page.locator(".example").evaluate_all("all => all.map(e => e.querySelectorAll('canvas').length)")
    assert drawn == [0, 1]
