"""Whether what is said of latents is so: python -m experiments.meaning.

Effects that are shown on digits are compared with measured ones. Then latents of 20 Newsgroups are to stand for its
groups.

A group is found if a latent fires more than five times as often in it as in all rows, in 20 of its rows or more, and
one of the latent's ten most distinctive words is in the group's title or in a list that was written down before any
latent was looked at. Ends with status 1 where fewer than 15 of 20 groups are found.
"""

from __future__ import annotations

import re
import sys

import numpy as np
from experiments.datasets import load

from dsae import DeepSparseAutoencoder
from dsae.interpret import Description, Enrichment, ablate, contributions, describe

LIFT, ROWS, WORDS, FOUND = 5, 20, 10, 15
PAIRS = 100
SEEDS = range(3)
WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)
CHOSEN = 0.5  # the default of `describe`
SETTINGS = {
    "n_components": 256,
    "hidden_layer_sizes": (),
    "code_activation": "topk",
    "k": 8,
    "density": 0.1,
    "max_iter": 15,
}
EXPECTED = {
    "alt.atheism": "atheist atheists god religion belief islam",
    "comp.graphics": "image images jpeg polygon gif animation",
    "comp.os.ms-windows.misc": "dos microsoft file drivers ini",
    "comp.sys.ibm.pc.hardware": "drive ide scsi controller bios motherboard card",
    "comp.sys.mac.hardware": "apple macintosh quadra centris powerbook simms",
    "comp.windows.x": "window motif widget server xterm client openwindows sun",
    "misc.forsale": "sale offer shipping price sell condition asking",
    "rec.autos": "car cars auto engine ford toyota dealer",
    "rec.motorcycles": "bike bikes motorcycle dod ride riding bmw helmet",
    "rec.sport.baseball": "pitching pitcher hit braves runs players season",
    "rec.sport.hockey": "nhl playoff playoffs team puck rangers leafs goal",
    "sci.crypt": "clipper encryption key keys nsa chip escrow crypto privacy",
    "sci.electronics": "circuit voltage amp battery wire power signal",
    "sci.med": "medical doctor disease patients medicine msg treatment health",
    "sci.space": "nasa orbit shuttle launch moon satellite lunar",
    "soc.religion.christian": "christians god jesus church christ bible sin",
    "talk.politics.guns": "gun firearms weapons weapon fbi batf waco",
    "talk.politics.mideast": "israel israeli arab arabs jews armenian armenians turkish palestinian",
    "talk.politics.misc": "president government clinton tax stephanopoulos rights homosexual",
    "talk.religion.misc": "god jesus christian bible koresh morality",
}
# Parts of titles that name no subject.
_COMMON = {"alt", "comp", "misc", "os", "ms", "rec", "sci", "soc", "sys", "talk", "x"}


def main() -> None:
    """Fit, look for each group by training and by unseen rows, and print what stands for it."""
    _causal("digits, one layer", load("digits").train, {**SETTINGS, "n_components": 64, "k": 6, "density": 0.3})
    _causal("digits, 16-256-64", load("digits").train, {"n_components": 16, "hidden_layer_sizes": (256,)})
    data, (words, groups) = load("news"), load("news_names")
    fewest = len(groups)
    for seed in SEEDS:
        model = DeepSparseAutoencoder(**SETTINGS, random_state=seed).fit(data.train).runtime_
        for part, X, y in (("training", data.train, data.y_train), ("unseen", data.test, data.y_test)):
            labels, shown = np.array(groups, object)[y], []
            for weight in WEIGHTS:
                latents = describe(model, X, names=words, labels=labels, weight=weight, n_features=WORDS)
                found = {group: standing_for(group, latents) for group in groups}
                count = sum(best is not None for best in found.values())
                shown.append(f"{weight:g}: {count}")
                if weight == CHOSEN:
                    fewest = min(fewest, count)
                    if seed == SEEDS[0] and part == "unseen":
                        print("\n".join(f"{group:25} {line(best)}" for group, best in found.items()))
            print(f"seed {seed}, {part} rows, groups found by weight of relevance {', '.join(shown)}", flush=True)
    if fewest < FOUND:
        sys.exit(f"{fewest} groups were found; expected {FOUND}.")


def _causal(name: str, X: np.ndarray, settings: dict) -> None:
    """How far what is shown of 100 random pairs of row and latent is from encoding, zeroing and decoding."""
    model = DeepSparseAutoencoder(**settings, random_state=0).fit(X).runtime_
    found, rng = contributions(model, X), np.random.default_rng(0)
    effects, sums, sizes = [], [], []
    for row in rng.integers(0, len(X), PAIRS).tolist():
        latents, rise = found.effects(row)
        at = rng.integers(latents.size)
        to = float(found.base_code[latents[at]])
        measured = ablate(model, X[[row]], latents[[at]], to=to).change[0]
        effects.append(abs(rise[at] - measured))
        sizes.append(abs(measured))
        made = model.reconstruct(X[[row]])[0]
        sums.append(np.abs(found.base + found.of(row)[1].sum(axis=0) - made).max() / np.abs(made).max())
    print(
        f"{name}, {found.method}, {PAIRS} pairs: effects shown and measured differ by {max(effects):.1e} at most, of "
        f"{np.mean(sizes):.1e} on average; base and parts miss the output by {max(sums):.1e} at most, "
        f"{np.median(sums):.1e} in the median, relative to the largest value of the row",
        flush=True,
    )


def standing_for(group: str, latents: list[Description]) -> tuple[Description, Enrichment] | None:
    """The latent that stands for a group, with how much more often it fires there; None if none does."""
    expected = set(EXPECTED[group].split()) | (set(re.findall(r"[a-z]+", group)) - _COMMON)
    found = [
        (at, label)
        for at in latents
        for label in at.labels
        if label.label == group and label.lift > LIFT and label.count >= ROWS
        if expected & {effect.name for effect in at.distinctive}
    ]
    return max(found, key=lambda best: best[1].lift, default=None)


def line(best: tuple[Description, Enrichment] | None) -> str:
    """What is shown of it."""
    if best is None:
        return "-"
    at, label = best
    words = " ".join(effect.name for effect in at.distinctive)
    return f"latent {at.latent:3}, lift {label.lift:4.1f} in {label.count:3} rows: {words}"


if __name__ == "__main__":
    main()
