"""How well one modality is made from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from dsae.data import JointSource
from dsae.metrics._classes import classes_of
from dsae.metrics._reconstruction import Reconstruction

_ROWS_AT_ONCE = 1024
_VALUES_AT_ONCE = 2**24  # of a reconstruction
_ALL_SUBSETS = 4  # modalities; of more there are too many to look at

Judge = Callable[[Any], np.ndarray]


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """What may be given: all sets of up to four names; of more each alone, all but one, and all.

    Examples
    --------
    >>> subsets(["image", "text"])
    [('image',), ('text',), ('image', 'text')]
    """
    sizes = range(1, len(names) + 1) if len(names) <= _ALL_SUBSETS else (1, len(names) - 1, len(names))
    return [given for size in sizes for given in combinations(names, size)]


def fvu_table(
    model: Any, source: JointSource, given: Sequence[Sequence[str]] | None = None
) -> dict[str, dict[str, float]]:
    """The unexplained share of the variance of every modality, made from every set of modalities.

    Parameters
    ----------
    model : dsae.runtime.JointRuntime
    source : JointSource
    given : sequence of sequence of str, optional
        The sets; by default `subsets` of the modalities.

    Returns
    -------
    dict of str to dict of str to float
        By what was given, ``"image+text"``, and by what was made. Each is over the rows that have all of them; NaN
        where there are none.
    """
    wanted = subsets(list(source.parts)) if given is None else [tuple(each) for each in given]
    errors = {each: {to: Reconstruction(metrics=["fvu"]) for to in source.parts} for each in wanted}
    seen = {each: dict.fromkeys(source.parts, 0) for each in wanted}
    for batch in source.batches(rows_at_once(source)):
        has = {name: (batch.present or {}).get(name, np.ones(batch.n_rows, bool)) for name in batch.parts}
        latents = model.latents(batch.parts)
        for each in wanted:
            whole = np.logical_and.reduce([has[name] for name in each])
            codes = model.join({name: latents[name] for name in each})
            for to in source.parts:
                at = whole & has[to]
                if at.any():
                    rows = batch.parts[to][at]
                    errors[each][to].update(rows, model.decode(codes[at], to, totals=rows))
                    seen[each][to] += int(at.sum())
    return {
        "+".join(each): {to: errors[each][to].result()["fvu"] if seen[each][to] else np.nan for to in source.parts}
        for each in wanted
    }


def coherence(
    model: Any,
    source: JointSource,
    labels: np.ndarray,
    judges: Mapping[str, Judge],
    given: Sequence[Sequence[str]] | None = None,
    known: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """How often what was made is of the class of what it was made from.

    Parameters
    ----------
    model : dsae.runtime.JointRuntime
    source : JointSource
    labels : ndarray, shape (n_samples,)
        Classes of the rows.
    judges : mapping of str to callable
        By modality: from rows to their classes. What is made is smoother than what was recorded, so judges that know
        smooth rows, too, judge it better.
    given : sequence of sequence of str, optional
        What to make from; by default each modality alone, and all of them.
    known : ndarray of bool, shape (n_samples,), optional
        Which rows have a class; by default those where it is neither None nor NaN.

    Returns
    -------
    dict of str to dict of str to float
        Shares by what was given and by what was made, of the rows that have what was given and a
        class; NaN where there are none.

    Raises
    ------
    ValueError
        If there is not one label for each row, or no class.
    """
    if known is None:
        labels, known = classes_of("coherence", labels, len(source), 1)
    names = list(source.parts)
    alone: list[tuple[str, ...]] = [(name,) for name in names]
    wanted = [tuple(each) for each in given] if given is not None else alone + [tuple(names)] * (len(names) > 1)
    right = {each: dict.fromkeys(judges, 0) for each in wanted}
    seen = dict.fromkeys(wanted, 0)
    start = 0
    for batch in source.batches(rows_at_once(source)):
        has = {name: (batch.present or {}).get(name, np.ones(batch.n_rows, bool)) for name in batch.parts}
        here = slice(start, start + batch.n_rows)
        latents, classes = model.latents(batch.parts), labels[here]
        start += batch.n_rows
        for each in wanted:
            at = np.logical_and.reduce([known[here], *(has[name] for name in each)])
            if not at.any():
                continue
            codes = model.join({name: latents[name][at] for name in each})
            seen[each] += int(at.sum())
            for to, judge in judges.items():
                right[each][to] += int((np.asarray(judge(model.decode(codes, to))) == classes[at]).sum())
    return {
        "+".join(each): {to: n / seen[each] if seen[each] else np.nan for to, n in counts.items()}
        for each, counts in right.items()
    }


def rows_at_once(source: JointSource) -> int:
    """Rows of a batch that may be decoded whole, of few columns 1,024: nothing of rows x features is held."""
    widest = max(part.n_features for part in source.parts.values())
    return max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // widest))
