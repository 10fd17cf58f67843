"""Every number of every view is Python's to the three digits shown: of one layer, of several, of several modalities."""

import re

import numpy as np
import pytest
from tests.browser import explorers
from tests.browser.explorers import DIGITS, STORED, cells, column, downloaded, go, near, numbers

from dsae.explorer import _stored, read_shard
from dsae.pages import percent

kinds = pytest.mark.parametrize("explored", ["told", "deep", "both"], indirect=True)


@pytest.fixture
def explored(request):
    return request.getfixturevalue(request.param)


def close(truth, latents, cosines):
    """Cosines, of which those at or below zero are not listed."""
    wanted = truth.cosines().max(axis=0)[latents]
    near(cosines[wanted > 0.05], wanted[wanted > 0.05])
    assert (cosines[wanted <= 0.05] <= 0.06).all()


@kinds
def test_of_latents(page_of, explored):
    truth, page = explored.truth, page_of(explored, "latents&sort=latent&up=1")
    table = downloaded(page)
    assert column(table, "latent").tolist() == list(range(truth.n_latents))
    np.testing.assert_array_equal(column(table, "rows_on"), truth.on.sum(axis=0))
    near(column(table, "rate"), truth.on.mean(axis=0))
    near(column(table, "energy"), truth.energy)
    near(column(table, "mean_on"), truth.mean_on())
    near(column(table, "max"), np.where(truth.on.any(axis=0), truth.codes.max(axis=0), np.nan))
    close(truth, column(table, "latent").astype(int), column(table, "cosine"))
    for row, lift in zip(table, column(table, "lift"), strict=True):
        if lift == lift:
            near(lift, truth.lift(row["label"])[int(row["latent"])])
    lines = page.locator(".long .line").evaluate_all("all => all.map(e => [...e.children].map(c => c.textContent))")
    assert len(lines) >= min(15, truth.n_latents)
    for key, at in (("rate", 2), ("energy", 3), ("mean_on", 4), ("max", 5), ("lift", 7), ("cosine", 8)):
        shown = numbers([line[at] for line in lines])
        wanted = column(table, key)[: len(lines)]
        there = ~np.isnan(shown)
        assert there.sum() >= (wanted > 0).sum()
        near(shown[there], wanted[there], DIGITS)


@kinds
def test_of_a_latent(page_of, explored):
    truth, page = explored.truth, page_of(explored)
    for latent in np.argsort(-truth.energy)[[0, 3]]:
        go(page, f"latent={latent}")
        table = downloaded(page)

        def part(what, table=table):
            rows = [row for row in table if row["what"] == what]
            return column(rows, "number").astype(int), column(rows, "value"), [row["name"] for row in rows]

        for what, weights, scale in (
            ("writes", truth.writes[:, latent], truth.base**-0.5),
            ("reads", truth.reads[latent], truth.variance**0.5),
        ):
            features, values, names = part(what)
            assert len(features) >= min(5, np.count_nonzero(weights))
            near(values, weights[features], scale=np.abs(weights).max())
            assert names == [explored.names[j] for j in features]
            relevant = np.abs(weights) * scale
            assert np.argmax(relevant) in features
            bars = page.locator(f"[data-part={what}] .bars > *").all_inner_texts()
            shown = [explored.names.index(name) for name in bars[::3]]
            near(numbers(bars[2::3]), weights[shown], DIGITS, np.abs(weights).max())
            assert (np.diff(relevant[shown]) <= 1e-3 * relevant.max()).all()
        rows, values, groups = part("example")
        near(values, truth.codes[rows, latent])
        assert truth.on[rows, latent].all()
        strongest = [row for row, group in zip(rows, groups, strict=True) if group == "strongest"]
        sizes = np.where(truth.on[:, latent], truth.codes[:, latent], 0)
        assert len(strongest) == min(12, truth.on[:, latent].sum())
        near(sizes[strongest], np.sort(sizes)[::-1][: len(strongest)], 1e-6)
        others, values, _ = part("cosine")
        near(values, truth.cosines()[latent, others], scale=1)
        for what in ("fires together", "avoids"):
            for row in (row for row in table if row["what"] == what):
                pair = truth.on[:, [latent, int(row["number"])]]
                assert int(row["rows"]) == pair.all(axis=1).sum()
                near(float(row["value"]), pair.all(axis=1).mean() / pair.mean(axis=0).prod())
        for row in (row for row in table if row["what"] == "label"):
            near(float(row["value"]), truth.lift(row["name"])[latent])
        facts = {name: page.locator(f"[data-fact={name}]").inner_text() for name in ("rate", "energy", "mean", "norm")}
        assert facts["rate"] == percent(truth.on[:, latent].mean())
        shown = numbers([facts["energy"], facts["mean"], facts["norm"]])
        near(shown, [truth.energy[latent], truth.mean_on()[latent], truth.norms[latent]], DIGITS)


@kinds
def test_of_another_value_of_a_latent(page_of, explored):
    truth, page = explored.truth, page_of(explored)
    latent = int(np.argmax(truth.energy))
    row = int(np.argmax(truth.codes[:, latent]))
    for value in (0.0, 1.5):
        go(page, f"latent={latent}&of={row}&v={value}")
        page.wait_for_selector("[data-part=whatif] tbody tr")
        changed = truth.codes[row].copy()
        changed[latent] = value
        lines = cells(page, "[data-part=whatif]")
        features = [explored.names.index(line[0]) for line in lines]
        assert len(features) >= 5
        for at, code in ((1, truth.codes[row]), (2, changed)):
            made = truth.decode(code, row)
            near(numbers([line[at] for line in lines]), made[features], DIGITS, np.abs(made).max())
        note = page.locator("[data-part=whatif] .note").inner_text()
        wanted = [truth.error(row, truth.codes[row]), truth.error(row, changed)]
        near(numbers(note.split("before,")), wanted, DIGITS)


@kinds
def test_of_rows(page_of, explored):
    truth, page = explored.truth, page_of(explored)
    for row in (0, 5, 40):  # the last two lack a modality, where there are two
        go(page, f"row={row}")
        order, drops, rises = truth.waterfall(row)
        table = downloaded(page)
        size = max(truth.error(row, np.zeros(truth.n_latents)), np.abs(drops).max())
        assert column(table, "latent").tolist() == order
        near(column(table, "value"), truth.codes[row, order])
        near(column(table, "drop"), drops, scale=size)
        near(column(table, "rise_without"), rises, scale=size)
        shown = page.locator("[data-part=waterfall] [data-drop]").all_inner_texts()
        near(numbers(shown), drops, DIGITS, size)
        facts = [page.locator(f"[data-fact={name}]").inner_text() for name in ("on", "error", "start")]
        wanted = [truth.on[row].sum(), *(truth.error(row, code) for code in (truth.codes[row], 0 * truth.codes[row]))]
        near(numbers(facts), wanted, DIGITS)
        lines = cells(page, "[data-part=features]")
        features = [explored.names.index(line[0]) for line in lines]
        assert len(features) >= 5
        made = truth.decode(truth.codes[row], row)
        near(numbers([line[1] for line in lines]), truth.X[row, features], DIGITS)
        near(numbers([line[2] for line in lines]), made[features], DIGITS, np.abs(made).max())
        rest = truth.X[row] - made
        near(numbers([line[3] for line in lines]), rest[features], DIGITS, np.nanmax(np.abs(rest)))


@kinds
def test_of_a_latent_in_a_row(page_of, explored):
    truth, row = explored.truth, 3
    latent = truth.waterfall(row)[0][1]
    page = page_of(explored, f"row={row}&of={latent}")
    bars = page.locator("[data-part=pair] .bars")
    reads, adds = (bars.nth(at).locator("> *").all_inner_texts() for at in (0, 1))
    for texts, products in (
        (reads, truth.reads[latent] * truth.X[row]),
        (adds, truth.contributed(row, latent)),
    ):
        shown = [explored.names.index(name) for name in texts[::3]]
        assert shown
        near(numbers(texts[2::3]), products[shown], DIGITS, np.abs(products).max())


@kinds
def test_of_a_row_without_some_latents(page_of, explored):
    truth, row = explored.truth, 5
    page = page_of(explored, f"row={row}")
    order, _, _ = truth.waterfall(row)
    for n, latent in enumerate(order[:2], 1):  # one after the other
        page.locator(f"[data-part=waterfall] tr[data-latent='{latent}'] input").click()
        page.wait_for_function(
            "n => document.querySelectorAll('[data-part=waterfall] input:checked').length === n", arg=n
        )
    page.wait_for_function("hash => location.hash === hash", arg=f"#row={row}&off={order[0]},{order[1]}")
    page.wait_for_selector("[data-part=ablated] [data-error]")
    code = truth.without(row, *order[:2])
    shown = page.locator("[data-part=ablated] [data-error]").inner_text()
    near(numbers([shown]), [truth.error(row, code)], DIGITS)
    lines, made = cells(page, "[data-part=ablated]"), truth.decode(code, row)
    features = [explored.names.index(line[0]) for line in lines]
    near(numbers([line[2] for line in lines]), made[features], DIGITS, np.abs(made).max())
    change = np.abs(made - truth.decode(truth.codes[row], row))
    assert change[features].min() >= np.sort(change)[-len(features)] * (1 - STORED)


@pytest.mark.parametrize("kind", ["told", "deep", "both"])
def test_of_rows_too_wide_for_the_folder(opened, make_model, tmp_path, monkeypatch, kind):
    """Errors without latents are known all the same: of any number of products, and of one latent of deeper models."""
    for limit, n in (("_MOST_X", 5), ("_ALL_X", 0), ("_MOST_DEEP", 5), ("_ALL_DEEP", 0)):
        monkeypatch.setattr(_stored, limit, n)
    explored = getattr(explorers, kind)(make_model, tmp_path / "wide")
    truth, page, row = explored.truth, opened(explored.page, "#about"), 5  # which lacks a modality, where there are two
    order = truth.waterfall(row)[0]
    for off in (order[:1], order[1:3]):
        go(page, f"row={row}&off={','.join(map(str, off))}")
        page.wait_for_selector("[data-part=ablated] tbody tr")
        shown = page.locator("[data-part=ablated] [data-error]").all_inner_texts()
        assert len(shown) == (kind == "told" or len(off) == 1)
        wanted = truth.error(row, truth.without(row, *off))
        near(numbers(shown), [wanted] * len(shown), DIGITS, truth.error(row, truth.codes[row]))
        if not shown:
            assert "dsae.interpret.ablate computes it" in page.locator("[data-part=ablated]").inner_text()
    latent, changed = order[0], truth.codes[row].copy()
    changed[latent] = 0.5
    go(page, f"latent={latent}&of={row}&v=0.5")
    page.wait_for_selector("[data-part=whatif] tbody tr")
    note = page.locator("[data-part=whatif] .note").inner_text()
    assert (kind == "told") == ("before" in note)
    if kind == "told":
        wanted = [truth.error(row, truth.codes[row]), truth.error(row, changed)]
        near(numbers(note.split("before,")), wanted, DIGITS)


@pytest.mark.parametrize("loss", ["nb", "multinomial"])
def test_of_counts_whose_errors_are_deviances(opened, make_model, tmp_path, loss):
    explored = explorers.counts(make_model, tmp_path / loss, loss)
    truth, page, row = explored.truth, opened(explored.page, "#about"), 7
    order, drops, _ = truth.waterfall(row)
    for off in (order[:1], order[:2]):
        go(page, f"row={row}&off={','.join(map(str, off))}")
        page.wait_for_selector("[data-part=ablated] [data-error]")
        shown = page.locator("[data-part=ablated] [data-error]").inner_text()
        near(numbers([shown]), [truth.error(row, truth.without(row, *off))], DIGITS)
    near(column(downloaded(page), "drop"), drops, scale=truth.error(row, 0 * truth.codes[row]))
    wanted = explored.model.reconstruction_error(explored.X[[row]])
    near(numbers([page.locator("[data-fact=error]").inner_text()]), wanted, DIGITS)
    assert "mean deviance" in page.locator(".facts").inner_text()


GROUPS = [("row:3", "row:8"), ("label:0", "label:1"), ("latent:7", "rest"), ("text:word5", "rest")]


@kinds
def test_of_comparisons(page_of, explored):
    truth, page = explored.truth, page_of(explored)
    names = sorted(set(truth.labels.tolist()))

    def rows(group):
        kind, _, of = group.partition(":")
        if kind == "row":
            return np.arange(len(truth.X)) == int(of)
        if kind == "label":
            return truth.labels == names[int(of)]
        if kind == "latent":
            return truth.on[:, int(of)]
        return np.array([of in text.lower() for text in explored.texts]) if kind == "text" else truth.labels != ""

    for a, b in GROUPS[: None if explored.texts else -1]:
        go(page, f"compare&a={a}&b={b}")
        table = downloaded(page)
        latents = column(table, "latent").astype(int)
        for side, group in (("a", a), ("b", b)):
            chosen = rows(group)
            near(column(table, f"mean_{side}"), truth.codes[chosen].mean(axis=0)[latents])
            near(column(table, f"rate_{side}"), truth.on[chosen].mean(axis=0)[latents])
        difference = truth.codes[rows(a)].mean(axis=0) - truth.codes[rows(b)].mean(axis=0)
        weights = np.abs(difference) * truth.norms
        assert (np.diff(weights[latents]) <= STORED * weights.max()).all()
        assert set(np.flatnonzero(weights > STORED * weights.max())) <= set(latents)
        shown = page.locator("[data-difference]").all_inner_texts()
        near(numbers(shown), difference[latents[: len(shown)]], DIGITS, 1)


@kinds
def test_of_health(page_of, explored):
    truth, page = explored.truth, page_of(explored, "health")
    rates, errors = truth.on.mean(axis=0), truth.errors()
    made = [truth.decode(code, row) for row, code in enumerate(truth.codes)]
    unexplained = np.nanmean(np.square(truth.X - made), axis=0).sum() / np.nanvar(truth.X, axis=0).sum()
    by_feature = np.nanmean([truth.errors_of(row, code) for row, code in enumerate(truth.codes)], axis=0)
    tiles = {
        **{"dead": (rates == 0).sum(), "rare": 0, "frequent": (rates > 0.1).sum(), "constant": (rates == 1).sum()},
        **{"empty": (truth.norms == 0).sum(), "duplicates": (truth.cosines().max(axis=0) > 0.9).sum()},
        **{"l0": truth.on.sum(axis=1).mean(), "fvu": unexplained},
    }
    for key, value in tiles.items():
        near(numbers([page.locator(f"[data-tile={key}] b").inner_text()]), [value], DIGITS)
    table = downloaded(page)
    for what, n in (("rates", (rates > 0).sum()), ("l0", len(errors)), ("error", round(0.99 * len(errors)) - 1)):
        counts = column([row for row in table if row["what"] == f"{what} histogram from"], "count")
        assert n <= counts.sum() <= n + (what == "error") * 2
    worst, features = (page.locator("main .bars").nth(at).locator("> *").all_inner_texts() for at in (0, 1))
    order = numbers(worst[::3]).astype(int)
    near(numbers(worst[2::3]), errors[order], DIGITS)
    near(errors[order], np.sort(errors)[::-1][: order.size])
    shown = [explored.names.index(name) for name in features[::3]]
    share = by_feature / by_feature.sum()
    near(numbers(features[2::3]), share[shown], DIGITS)
    near(share[shown], np.sort(share)[::-1][: len(shown)])
    quantiles = re.findall(r"\d[\d.,e+-]*\d|\d", page.locator("[data-hist=error] figcaption").inner_text())
    near(numbers(quantiles), np.quantile(errors, [0.5, 0.9, 1]), DIGITS)
    by_label = {line[0]: line[1:] for line in cells(page, "[data-part=by-label]")}
    assert sorted(by_label) == sorted(set(truth.labels))
    for label, line in by_label.items():
        inside = truth.labels == label
        near(numbers(line), [inside.sum(), errors[inside].mean()], DIGITS)
    pairs = numbers([line[2] for line in cells(page, "[data-part=pairs]")])
    cosines = np.sort(truth.cosines()[np.triu_indices(truth.n_latents, 1)])[::-1]
    near(pairs, cosines[: pairs.size], DIGITS, 1)
    layers = cells(page, "[data-part=layers]")
    weights = [layer[0] for part in truth.parts.values() for layer in (*part.encoder, *part.decoder)]
    wanted = [[w.shape[1], w.shape[0], np.count_nonzero(w), np.count_nonzero(w) / w.size] for w in weights]
    near([numbers(line[1:5]) for line in layers], wanted, DIGITS)


@kinds
def test_of_maps_and_of_what_the_page_says_of_itself(page_of, explored):
    truth, page, folder = explored.truth, page_of(explored, "map&of=latents&by=rate"), explored.page.parent
    ends = page.locator("[data-part=ramp] > span").all_inner_texts()
    rates = truth.on.mean(axis=0)[truth.on.any(axis=0)]
    near(numbers([ends[0], ends[-1]]), [rates.min(), rates.max()], DIGITS)
    placed = read_shard(folder, "map")
    for of, number in (("latents", np.arange(truth.n_latents)), ("rows", np.arange(len(truth.X)))):
        go(page, f"map&of={of}&by={'rate' if of == 'latents' else 'error'}")
        table = downloaded(page)
        assert column(table, "latent" if of == "latents" else "row").tolist() == number.tolist()
        assert np.stack([column(table, key) for key in "xy"], axis=1).ravel().tolist() == placed[of].tolist()
    go(page, "about")
    facts = dict(line[:2] for line in cells(page, "main"))
    wanted = {"rows": len(truth.X), "features": truth.X.shape[1], "latents": truth.n_latents}
    for key, value in wanted.items():
        assert numbers([facts[key]])[0] == value
    assert page.locator("[data-part=checks] .bad").count() == 0
    assert page.locator("[data-part=checks] .ok").count() == (3 if truth.exact else 1)
