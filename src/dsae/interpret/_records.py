"""What is said of a latent, as plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsae.interpret._labels import Enrichment


@dataclass(frozen=True)
class Effect:
    """A feature that a latent writes or reads.

    Attributes
    ----------
    feature : int
    name : str
    value : float
        The weight: what a unit of the latent adds to the feature, or a unit of the feature to the latent.
    """

    feature: int
    name: str
    value: float


@dataclass(frozen=True)
class Example:
    """A row in which a latent fires.

    Attributes
    ----------
    row : int
    value : float
        Of the latent.
    id, label : object
        None where rows have none.
    """

    row: int
    value: float
    id: Any = None
    label: Any = None


@dataclass(frozen=True)
class Partner:
    """A latent near to a latent.

    Attributes
    ----------
    latent : int
    value : float
        The cosine of the atoms, or the correlation of the firings.
    count : int, optional
        Rows in which both fire, of those sampled.
    lift : float, optional
        How often both fire, over what chance gives.
    """

    latent: int
    value: float
    count: int | None = None
    lift: float | None = None


@dataclass(frozen=True)
class Description:
    """What a latent stands for.

    Attributes
    ----------
    latent : int
    name : str
        The three most distinctive features that it writes where it fires.
    count : int
        Rows in which it fires.
    rate : float
        Their share.
    mean, highest : float
        Its value where it fires; NaN if it never does. ``highest`` is the one of largest magnitude.
    norm : float
        Of its atom.
    energy : float
        ``E[z^2] |D|^2``, whatever the scale of the code.
    share : float
        Of the energies of all latents.
    writes : list of Effect
        The largest effects on the output.
    distinctive : list of Effect
        The most distinctive ones; see `relevance`.
    reads : list of Effect
        What makes it fire, the most relevant features first.
    examples : list of Example
        The strongest rows.
    quantiles : list of list of Example
        Rows drawn from each fifth of its firings, the weakest first.
    labels : list of Enrichment
        Labels in whose rows it fires more often.
    alike, together, against : list of Partner
        Latents with similar atoms, that fire in the same rows, and that avoid these.
    """

    latent: int
    name: str
    count: int
    rate: float
    mean: float
    highest: float
    norm: float
    energy: float
    share: float
    writes: list[Effect]
    distinctive: list[Effect]
    reads: list[Effect]
    examples: list[Example]
    quantiles: list[list[Example]]
    labels: list[Enrichment]
    alike: list[Partner]
    together: list[Partner]
    against: list[Partner]

    def __str__(self) -> str:
        lines = [f"latent {self.latent}: {self.name}", f"  fires in {self.count} rows, {self.rate:.3g} of all"]
        if self.labels:
            shown = (f"{at.label} (lift {at.lift:.1f}, {at.count} of {at.n_rows})" for at in self.labels[:3])
            lines.append(f"  labels: {', '.join(shown)}")
        for title, effects in (("writes", self.distinctive), ("reads", self.reads)):
            lines.append(f"  {title}: {', '.join(f'{at.name} {at.value:+.2g}' for at in effects)}")
        rows = (f"{at.row if at.id is None else at.id} ({at.value:.3g})" for at in self.examples[:5])
        return "\n".join([*lines, f"  rows: {', '.join(rows)}"])
