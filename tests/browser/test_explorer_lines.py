"""The lines of Python below a view give the figures that it shows."""

import re

import numpy as np
import scipy.sparse as sp
from tests.browser.explorers import DIGITS, N_LATENTS, cells, column, downloaded, go, near, numbers
from tests.covering import each

import dsae.explorer
import dsae.interpret
import dsae.metrics

LINES = {
    "latents": ["describe(model, X, labels=labels)"],
    "latent=5": ["describe(model, X, latents=[5], labels=labels)"],
    "latent=5&lambda=0.75&of=3&v=1.5": [
        "describe(model, X, latents=[5], weight=0.75, labels=labels)",
        "ablate(model, X[[3]], [5], to=1.5)",
    ],
    "row=17": [
        "contributions(model, X[[17]]).waterfall(0)",
        "contributions(model, X[[17]]).of(0)",
        None,
        "model.reconstruct(X[[17]])",
    ],
    "row=17&off={on}": [None, "ablate(model, X[[17]], latents=[{on}])", None, None, None],
    "compare&a=row:3&b=row:8": ["compare(model, X[[3]], X[[8]])"],
    "compare&a=label:0&b=latent:7": [None],
    "compare&a=text:WORD11&b=rest": [None],
    "map&by=rate": ['read_shard("explorer", "map")', "describe(model, X, labels=labels)"],
    "map&of=rows": ['read_shard("explorer", "map")'],
    "map&of=rows&by=error": ['read_shard("explorer", "map")', "model.reconstruction_error(X)"],
    "map&of=rows&by=latent&latent=3": ['read_shard("explorer", "map")', "model.encode(X)[:, 3]"],
    "health": ["evaluate(model, X)", "model.reconstruction_error(X)", "neighbours(model).cosine"],
    "about": ['read_shard("explorer", "about")'],
}
DEEP = {
    "latents": LINES["latents"],
    "latent=5": LINES["latent=5"],
    "row=17": [
        "contributions(model, X[[17]], base='zero').waterfall(0)",
        "contributions(model, X[[17]], base='zero').of(0)",
        "model.reconstruct(X[[17]])",
    ],
    "compare&a=row:3&b=row:8": ["compare(model, X[[3]], X[[8]], around=X)"],
    "compare&a=label:0&b=latent:7": [None],
    "map&by=rate": LINES["map&by=rate"],
    "map&of=rows&by=on": [None, "(abs(model.encode(X)) > 0.5).sum(axis=1)"],
    "health": [*LINES["health"][:2], "neighbours(model, X).cosine"],
}
TAKEN = "dsae.interpret.take(model, X, [{}])"
SEVERAL = TAKEN.format(17) + ", base='zero'"
BOTH = {
    **{"latents": LINES["latents"], "latent=5": LINES["latent=5"], "about": LINES["about"]},
    "row=17": [f"contributions(model, {SEVERAL}).waterfall(0)", f"contributions(model, {SEVERAL}).of(0)"],
    "row=17&off={on}": [None, f"ablate(model, {TAKEN.format(17)}, latents=[{{on}}])", None],
    "compare&a=label:0&b=latent:7": [None],
    "compare&a=row:3&b=rest": [f"compare(model, {TAKEN.format(3)}, X, around=X)"],
    "map&of=rows": LINES["map&of=rows"],
    "health": [
        "activation_rates(model.encode(X))",
        "model.fvu_table(X)",
        f"ablate(model, {TAKEN.format('').replace('[]', 'range(80)')}, []).before",
        "neighbours(model, X).cosine",
    ],
}


class Label:
    """A label that is no text, as numbers are none."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text

    def __eq__(self, other):
        return str(self) == str(other)

    def __hash__(self):
        return hash(self.text)


@each({"kind, lines": [("told", LINES), ("deep", DEEP), ("both", BOTH)]})
def test_every_view_says_its_python(request, page_of, monkeypatch, kind, lines):
    explored = request.getfixturevalue(kind)
    monkeypatch.chdir(explored.page.parent.parent)  # where lines find the folder
    labels = [Label(label) for label in explored.labels]
    names = {"dsae": dsae, "model": explored.model, "X": explored.X, "labels": labels, "texts": explored.texts}
    on = [str(latent) for latent in explored.truth.waterfall(17)[0][:2]]
    for view, calls in lines.items():
        view = view.replace("{on}", ",".join(on))
        page = page_of(explored, view)
        said, table = page.locator("[data-python]").all_inner_texts(), downloaded(page)
        assert len(table) > 1
        assert all(None not in row and None not in row.values() for row in table)
        for line, call in zip(said, calls, strict=True):
            assert call is None or line.endswith(call.replace("{on}", ", ".join(on))), line
            (check,) = (CHECKS[part] for part in CHECKS if re.search(part, line))
            check(eval(line, names), page, table, explored, view)


def of_descriptions(found, page, table, explored, view):
    if view.startswith("map"):
        return of_colours(np.array([at.rate for at in found]), page)
    if view.startswith("latent="):
        return of_one_latent(found[0], page, table, explored)
    n = len(found)
    assert [at.latent for at in found] == column(table, "latent")[:n].tolist()
    told = [[at.share, at.rate, at.mean, at.highest] for at in found]
    near(told, np.stack([column(table, key)[:n] for key in ("energy", "rate", "mean_on", "max")], axis=1))
    for at, row in zip(found, table, strict=False):
        if row["lift"]:
            (lift,) = (label.lift for label in at.labels if str(label.label) == row["label"].removeprefix("'"))
            near(lift, float(row["lift"]))
        if at.alike:
            near(at.alike[0].value, float(row["cosine"]))


def of_one_latent(found, page, table, explored):
    facts = [page.locator(f"[data-fact={name}]").inner_text() for name in ("rate", "energy", "mean", "max", "norm")]
    near(numbers(facts), [found.rate, found.share, found.mean, found.highest, found.norm], DIGITS)

    def told(what, key="number"):
        rows = [row for row in table if row["what"] == what]
        return dict(zip(rows and column(rows, key), rows and column(rows, "value"), strict=True))

    for what, effects in (("writes", found.distinctive), ("reads", found.reads)):
        bars = page.locator(f"[data-part={what}] .bars > *").all_inner_texts()
        assert [explored.names.index(name) for name in bars[::3]] == [effect.feature for effect in effects]
        near(numbers(bars[2::3]), [effect.value for effect in effects], DIGITS, abs(effects[0].value))
    strongest = [(row["number"], row["value"]) for row in table if row["name"] == "strongest"]
    assert [int(row) for row, _ in strongest] == [at.row for at in found.examples]
    near([float(value) for _, value in strongest], [at.value for at in found.examples])
    near(sorted(told("label").values()), sorted(label.lift for label in found.labels)[-12:])
    for what, partners in (("cosine", found.alike), ("fires together", found.together), ("avoids", found.against)):
        listed = told(what)
        assert list(listed) == [at.latent for at in partners][: len(listed)]
        values = [at.value if what == "cosine" else at.lift for at in partners]
        near(list(listed.values()), values[: len(listed)])


def of_waterfall(found, page, table, *_):
    assert column(table, "latent").tolist() == found.latents.tolist()
    size = max(found.errors[0], np.abs(found.drops).max())
    for key, values in (("value", found.values), ("drop", found.drops), ("rise_without", found.without)):
        near(column(table, key), values, scale=size)
    facts = [page.locator(f"[data-fact={name}]").inner_text() for name in ("start", "error")]
    near(numbers(facts), found.errors[[0, -1]], DIGITS)


def of_parts(found, page, table, explored, _):
    latents, parts = found
    of_bars(page, -1, parts[latents == int(table[0]["latent"])][0], explored)


def of_reads(found, page, table, explored, _):
    of_bars(page, 0, found.of(int(table[0]["latent"])).toarray()[0], explored)


def of_bars(page, at, values, explored):
    bars = page.locator("[data-part=pair] .bars").nth(at).locator("> *").all_inner_texts()
    shown = [explored.names.index(name) for name in bars[::3]]
    assert shown
    near(numbers(bars[2::3]), values[shown], DIGITS, np.abs(values).max())


def of_reconstruction(found, page, table, explored, _):
    lines = cells(page, "[data-part=features]")
    features = [explored.names.index(line[0]) for line in lines]
    near(numbers([line[2] for line in lines]), found[0, features], DIGITS, np.abs(found).max())


def of_ablation(found, page, table, explored, view):
    part = "ablated" if view.startswith("row") else "whatif"
    where = f"[data-part={part}] " + {"ablated": ".lead", "whatif": ".note"}[part]
    page.wait_for_selector(f"[data-part={part}] tbody tr")
    texts = re.split("instead of|before,", page.locator(where).inner_text())
    shown = [found.after, found.before] if part == "ablated" else [found.before, found.after]
    near(numbers(texts), np.concatenate(shown), DIGITS)
    lines = cells(page, f"[data-part={part}]")
    features = [explored.names.index(line[0]) for line in lines]
    near(numbers([line[2] for line in lines]), found.x_hat[0, features], DIGITS, np.abs(found.x_hat).max())


def of_differences(found, page, table, *_):
    shown = {int(row["latent"]): row for row in table}
    keys = {"mean_a": found.mean_a, "mean_b": found.mean_b, "rate_a": found.rate_a, "rate_b": found.rate_b}
    keys["difference_x_norm"] = np.abs(found.size)
    for at, latent in enumerate(found.latents):
        if latent not in shown:  # which says those that differ
            assert keys["mean_a"][at] == np.float64(keys["mean_b"][at]) or abs(found.size[at]) < 1e-5
            continue
        near([float(shown[latent][key]) for key in keys], [of[at] for of in keys.values()], scale=1)


def of_map(found, page, table, explored, view):
    placed = found["rows" if "rows" in view else "latents"].reshape(-1, 2)
    np.testing.assert_array_equal(np.stack([column(table, key) for key in "xy"], axis=1), placed)


def of_colours(found, page, *_):
    ends = page.locator("[data-part=ramp] > span").all_inner_texts()
    near(numbers([ends[0], ends[-1]]), [found.min(), found.max()], DIGITS)


def of_values(found, page, *_):
    of_colours(found[found != 0], page)


def of_checks(found, page, table, *_):
    checks = {row["name"]: float(row["value"]) for row in table if row["part"] == "check"}
    assert checks == {check["name"]: check["value"] for check in found["checks"]}


def of_measures(found, page, *_):
    tiles = {"dead": "dead_latents", "l0": "mean_l0", "fvu": "fvu"}
    shown = [page.locator(f"[data-tile={tile}] b").inner_text() for tile in tiles]
    near(numbers(shown), [found[key] for key in tiles.values()], DIGITS)


def of_rates(found, page, *_):
    shown = [page.locator(f"[data-tile={tile}] b").inner_text() for tile in ("dead", "frequent", "l0")]
    near(numbers(shown), [(found == 0).sum(), (found > 0.1).sum(), found.sum()], DIGITS)


def of_errors(found, page, table, explored, view):
    if view.startswith("map"):
        return of_colours(found, page)
    worst = page.locator("main .bars").first.locator("> *").all_inner_texts()
    rows = numbers(worst[::3]).astype(int)
    near(numbers(worst[2::3]), found[rows], DIGITS)
    near(found[rows], np.sort(found)[::-1][: rows.size])


def of_pairs(found, page, *_):
    shown = numbers([line[2] for line in cells(page, "[data-part=pairs]")])
    near(shown[0], found.cosines[:, 0].max(), DIGITS)


CHECKS = {
    r"describe\(": of_descriptions,
    r"waterfall\(0\)$": of_waterfall,
    r"\.of\(0\)$": of_parts,
    r"reads\(": of_reads,
    r"\.reconstruct\(": of_reconstruction,
    r"ablate\(.*\)$": of_ablation,
    r"compare\(": of_differences,
    r'"map"\)$': of_map,
    r'"about"\)$': of_checks,
    r"evaluate\(": of_measures,
    r"activation_rates\(": of_rates,
    r"fvu_table\(": lambda *_: None,  # shares of what the page shows as one
    r"reconstruction_error\(|\.before$": of_errors,
    r"\.cosine$": of_pairs,
    r"\[:, 3\]$": of_values,
    r"sum\(axis=1\)$": of_colours,
}


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
