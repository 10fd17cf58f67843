"""What one forward pass leaves for losses and penalties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsae import ops
from dsae.config import Loss, loss_of
from dsae.nn._activations import ACTIVATIONS, Activation
from dsae.nn._linear import SparseLinear, bias_of
from dsae.ops import Code, Given, Panels, PreCode, SparseRows

_VALUES_AT_ONCE = 1 << 24  # 64 MiB; whole batches of a million features took 6.1 GB (docs/design/sparse_input.md)


class Fired(NamedTuple):
    """Which latents are not zero in every row, the number of rows, and that of all latents that fire in them."""

    latents: Tensor
    n_rows: int
    n_latents: int


@dataclass(frozen=True)
class Trace:
    """Results of one forward pass: rows ``[n_rows, f]``, or panels of them.

    For sparse rows, the reconstruction and the target are computed on demand, and are then as wide as the data.

    Parameters
    ----------
    given : Given
        The batch as the data hold it.
    input : Tensor, Panels or SparseRows
        Centred input of the first encoder layer.
    hidden : tuple of Tensor, Panels or Code
        Output of every encoder layer; the last is the code.
    pre_code : Tensor, Panels or PreCode
        The code before its activation.
    inner : tuple of Tensor or Panels
        Output of every decoder layer but the last.
    aim : Tensor or SparseRows
        The target; sparse rows hold their weights.
    head : SparseLinear
        The last layer.
    activation : Activation
        Of the reconstruction.
    extras : mapping of str to Tensor
        What the loss takes beside output and target, see `dsae.config.Loss`.
    """

    given: Given
    input: Tensor | Panels | SparseRows
    hidden: tuple[Tensor | Panels | Code, ...]
    pre_code: Tensor | Panels | PreCode
    inner: tuple[Tensor | Panels, ...]
    aim: Tensor | SparseRows
    head: SparseLinear
    activation: Activation
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Samples in the batch."""
        return self.aim.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self._like.device

    @cached_property
    def logits(self) -> Tensor | Panels:
        """The reconstruction before its activation."""
        return self.head(self._last)

    @cached_property
    def output(self) -> Tensor | Panels:
        """The reconstruction."""
        return activated(self.activation, self.logits, self.n_rows)

    @property
    def decoded(self) -> tuple[Tensor | Panels, ...]:
        """Output of every decoder layer; the last is the reconstruction."""
        return (*self.inner, self.output)

    @cached_property
    def target(self) -> Tensor:
        """What the output is compared with, as rows, centred where the output is linear."""
        return self.aim.dense(self._like) if isinstance(self.aim, SparseRows) else self.aim

    @property
    def weights(self) -> Tensor | None:
        """Of the target's values, to be broadcast; None where all are 1."""
        return self.aim.weights(self._like) if isinstance(self.aim, SparseRows) else self.given.weights

    @property
    def code(self) -> Tensor:
        """The code, as rows."""
        return self.rows(self.hidden[-1])

    @property
    def variance(self) -> Tensor:
        """Mean over the features of the target's variance, of the rows of all ranks."""
        if ops.ranks().size > 1:
            return self._like.new_tensor(ops.variance_over_ranks(self.aim))
        if isinstance(self.aim, SparseRows):
            return self._like.new_tensor(self.aim.variance())
        return self.aim.var(0, correction=0).mean()

    @cached_property
    def fired(self) -> Fired:
        """What the code has done, over the rows of all ranks."""
        code, world = self.hidden[-1], ops.ranks()
        if isinstance(code, Code):
            at, on = code.fired(), torch.zeros(code.shape[1], dtype=torch.bool)
            on[torch.from_numpy(at).long()] = True
            n_latents = at.size
        else:
            each = self.rows(code).detach() != 0
            on, n_latents = each.any(0), int(each.sum())
        if world.size == 1:
            return Fired(on, self.n_rows, n_latents)
        counts = torch.cat([on.long(), on.new_tensor([self.n_rows, n_latents], dtype=torch.int64)])
        world.sum(counts.zero_() if world.void else counts)
        return Fired(counts[:-2] > 0, *map(int, counts[-2:].tolist()))

    def like_input(self, draw: Callable[[tuple[int, ...]], Tensor]) -> Tensor | Panels:
        """``draw`` called with the shape of the densified input; panels if the input is to be packed."""
        like = self._like
        if isinstance(self.input, Panels):
            return ops.on_features(lambda t: draw(tuple(t.shape)).to(like), self.input)
        packed = isinstance(self.input, SparseRows) and self.input.packed
        drawn = draw(self.input.packed_shape if isinstance(self.input, SparseRows) else tuple(self.input.shape)).to(
            like
        )
        return Panels(drawn, self.n_rows) if packed else drawn

    def loss(self, kind: str) -> Tensor:
        """Mean loss over rows and features, by their weights where the batch has some.

        Sparse rows' reconstructions are materialised a few outputs at a time, or a few rows at a time where the loss
        needs whole rows.

        Parameters
        ----------
        kind : str
            A name in `dsae.config.LOSSES`.
        """
        record, half = loss_of(kind), ops.torch_loss(kind)
        if isinstance(self.aim, SparseRows):
            if record.tiled and isinstance(self.activation, ACTIVATIONS[record.link]):
                return self.head.loss(self._last, self.aim, kind, tuple(self.extras.values()))
            if self.aim.shape[0] > self._rows_at_once:
                return self._loss_by_rows(record, half)
        output = self.rows(self.logits if record.needs_link else self.output)
        return half.mean(output, self.target, self.weights, **self.extras, **self._exposure(record))

    def _loss_by_rows(self, record: Loss, half: ops.TorchLoss) -> Tensor:
        exposure, aim = self._exposure(record), self.aim
        assert isinstance(aim, SparseRows)

        def measure(z: Tensor, piece: slice, *extras: Tensor) -> Tensor:
            output = z if record.needs_link else self.activation(z, z.shape[0])
            rows = aim.part(piece)
            beside = {name: totals[piece] for name, totals in exposure.items()}
            trained = dict(zip(self.extras, extras, strict=True))
            return half.mean(output, rows.dense(z), rows.weights(z), **trained, **beside)

        head, extras = self.head, tuple(self.extras.values())
        return ops.loss_by_rows(
            head.values,
            bias_of(head),
            self.rows(self._last),
            head.topology,
            measure,
            self._rows_at_once,
            extras,
            head.tape,
            by_gemm=head.executor == "dense",
            worth=aim.row_sizes if aim.weighted else None,
        )

    def _exposure(self, record: Loss) -> dict[str, Tensor]:
        """Each row's total ``[n_rows, 1]``, for a loss that takes it."""
        if not record.exposure:
            return {}
        rows = self.given.aim
        return {"exposure": rows.totals(self._like) if isinstance(rows, SparseRows) else rows.sum(1, keepdim=True)}

    @property
    def _rows_at_once(self) -> int:
        return max(1, _VALUES_AT_ONCE // self.aim.shape[1])

    def rows(self, t: Tensor | Panels | Code) -> Tensor:
        """``t`` as rows ``[n_rows, f]``."""
        if isinstance(t, Code):
            return t.rows()
        return ops.unpack(t) if isinstance(t, Panels) else t

    def like(self, t: Tensor | Panels | Code, other: Tensor | Panels) -> Tensor | Panels:
        """``t`` as rows or panels, as ``other`` is."""
        t = t.rows() if isinstance(t, Code) else t
        return ops.pack(t) if isinstance(other, Panels) and not isinstance(t, Panels) else t

    def subsample(self) -> Trace:
        """The first rows of a sparse batch, up to 2^24 numbers but at least one row; all rows of any other batch.

        Rows come in random order, so their mean estimates that of the batch.
        """
        n = self._rows_at_once
        if not isinstance(self.aim, SparseRows) or not isinstance(self.input, SparseRows) or n >= self.n_rows:
            return self
        return replace(
            self,
            given=Given(self.given.aim.part(slice(n))),  # type: ignore[union-attr]
            input=self.input.part(slice(n)),
            hidden=tuple(t.first(n) if isinstance(t, Code) else self.rows(t)[:n] for t in self.hidden),
            pre_code=self.pre_code.first(n) if isinstance(self.pre_code, PreCode) else self.rows(self.pre_code)[:n],
            inner=tuple(self.rows(t)[:n] for t in self.inner),
            aim=self.aim.part(slice(n)),
        )

    @property
    def _last(self) -> Tensor | Panels | Code:
        return self.inner[-1] if self.inner else self.hidden[-1]

    @property
    def _like(self) -> Tensor:
        return self.pre_code.z if isinstance(self.pre_code, PreCode) else ops.tensor_of(self.pre_code)


def activated(activation: nn.Module, z: Tensor | Panels, n_rows: int) -> Tensor | Panels:
    """The activation of rows or panels."""
    return ops.on_features(lambda t: activation(t, n_rows), z)
