"""A term of the loss that orders the latents: the first ones have to do by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsae.nn import Autoencoder, Trace
from dsae.shrink._base import Shrinker


class Matryoshka(Shrinker):
    """The loss of the reconstructions by the first latents alone, summed over some widths (Bussmann et al. 2025).

    A dictionary with more latents than frequent features splits these, and lets special latents absorb parts of
    general ones. The latents of an inner width have to reconstruct without the outer ones, and so stay general. The
    code is computed once: what an inner width sees are those of its entries that lie inside.

    Parameters
    ----------
    widths : sequence of int
        Inner widths; that of the whole code, if it is among them, is the loss itself.
    loss : str
        A name in `dsae.config.LOSSES`.
    """

    def __init__(self, widths: Sequence[int], loss: str) -> None:
        self.widths, self.loss = tuple(widths), loss

    def penalty(self, model: Autoencoder, trace: Trace) -> Tensor | float:
        """Summed over the inner widths."""
        inner = (width for width in self.widths if width < model.config.n_components)
        return sum(model.first_latents(trace, width).loss(self.loss) for width in inner)
