"""Several autoencoders that share one code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from dsae import ops
from dsae.config import JointConfig
from dsae.nn._activations import activation
from dsae.nn._autoencoder import Autoencoder
from dsae.nn._density import target_nnz
from dsae.nn._layered import Layered
from dsae.nn._linear import SparseLinear
from dsae.nn._modules import Modules
from dsae.nn._trace import Trace
from dsae.ops import Given, Panels


@dataclass(frozen=True, eq=False)
class JointGiven:
    """A batch of several modalities as a training step is given it.

    Parameters
    ----------
    parts : mapping of str to Given
        Of each modality the rows that have it; at least one.
    rows : mapping of str to Tensor of int64
        Where in the batch these are; of a modality that is not named here, all rows are there.
    keep : mapping of str to Tensor of float32, shape (rows of the part,)
        1 for the rows whose code the modality is part of in this step, 0 for the others.
    n_rows : int
    names : tuple of str
        All modalities of the model.
    shares : mapping of str to float, optional
        What the mean loss of each counts for; by default all that the batch has count the same.
    """

    parts: Mapping[str, Given]
    rows: Mapping[str, Tensor]
    keep: Mapping[str, Tensor]
    n_rows: int
    names: tuple[str, ...] = ()
    shares: Mapping[str, float] | None = None

    def weighed(self, factor: float, name: str) -> float:
        """What the mean loss of a modality that the batch has is multiplied by, if that is ``factor`` alone."""
        return factor / len(self.parts) if self.shares is None else factor * self.shares[name]

    def with_shares(self, shares: Mapping[str, float]) -> JointGiven:
        """The same batch, whose modalities count for other shares."""
        return replace(self, shares=shares)

    @property
    def kind(self) -> type:
        """What decides how steps on such a batch are computed: see `Given.kind`."""
        return JointGiven

    @property
    def rows_worth(self) -> float:
        """What the loss of this batch counts for beside others."""
        return self.n_rows


class Joint(Layered, nn.Module):
    """One autoencoder for each modality, with one code.

    The code is ``f(sum_m w_m z_m / sum_m w_m)`` over the modalities that a row has: ``z_m`` is the code of modality
    ``m`` before its activation ``f``, ``w_m > 0`` a number for each modality and latent, which is learned. That is the
    mean of a product of Gaussian experts whose precisions do not depend on the row (Wu & Goodman 2018).

    Parameters
    ----------
    config : JointConfig
    models : mapping of str to Autoencoder
        By modality; with a linear code, whatever that of ``config`` is.
    factors : mapping of str to float, optional
        What each modality's loss is multiplied by, its weight among them.
    """

    def __init__(
        self, config: JointConfig, models: Mapping[str, Autoencoder], factors: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.config, self.factors = config, dict(factors or config.weights or {})
        self.models = Modules(models[name] for name in config.names)
        self.log_weight = nn.Parameter(torch.zeros(len(config.names), config.n_components))
        self.activation = activation(config.code_activation, config.n_components, config.k)
        self.measured: dict[str, float] = {}

    def of(self, name: str) -> Autoencoder:
        """The autoencoder of a modality."""
        return self.models[self.config.names.index(name)]

    @property
    def layers(self) -> dict[str, SparseLinear]:
        """All linear layers by name: ``image.encoder.0`` and so on."""
        return {f"{name}.{layer}": found for name in self.config.names for layer, found in self.of(name).layers.items()}

    @property
    def final_nnz(self) -> dict[str, int]:
        """Active weights that the configuration asks of each layer."""
        return joint_nnz(self.config)

    @property
    def code_by_entries(self) -> bool:
        """False: latents of one modality may be made up for by another."""
        return False

    @property
    def mean_threshold(self) -> None:
        """None: a joint code has no thresholds."""
        return None

    def switch_unconnected(self) -> None:
        """Nothing: a latent that one modality does not reach may be another's."""

    def fill_gradients(self) -> None:
        """Zeros for the parameters of modalities that a batch lacked, as if it had rows without a gradient."""
        for parameter in self.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def encode_part(self, name: str, given: Given) -> Tensor:
        """Codes of one modality's rows before they are joined, ``[rows of the part, n_components]``."""
        model = self.of(name)
        z = model.steps(model.names("encoder"), model.enter(model.centred(given.x)))[-1][1]
        return ops.unpack(z) if isinstance(z, Panels) else z

    def join(self, codes: Mapping[str, Tensor], given: JointGiven) -> Tensor:
        """The joint code of a batch, ``[n_rows, n_components]``, from those of its modalities."""
        total = self.log_weight.new_zeros(given.n_rows, self.config.n_components)
        weight = torch.zeros_like(total)
        for name, z in codes.items():
            w = self.log_weight[self.config.names.index(name)].exp() * given.keep[name][:, None]
            where = given.rows.get(name)
            if where is None:
                total, weight = total + w * z, weight + w
            else:
                total, weight = total.index_add(0, where, w * z), weight.index_add(0, where, w)
        return self.activation(total / weight, given.n_rows)

    def trace(self, given: JointGiven) -> JointTrace:
        """One forward pass that keeps what losses and penalties need."""
        codes = {name: self.encode_part(name, part) for name, part in given.parts.items()}
        return JointTrace(self, given, self.join(codes, given))


@dataclass(frozen=True)
class JointTrace:
    """Results of a forward pass through a `Joint`.

    Parameters
    ----------
    model : Joint
    given : JointGiven
    code : Tensor, shape (n_rows, n_components)
    """

    model: Joint
    given: JointGiven
    code: Tensor

    def decoded(self, name: str) -> Trace:
        """The pass through the decoder of a modality, of the rows that have it."""
        model, given = self.model.of(name), self.given.parts[name]
        where = self.given.rows.get(name)
        code = self.code if where is None else self.code[where]
        entered = model.enter(code)
        inner = tuple(after for _, after in model.steps(model.names("decoder")[:-1], entered))  # type: ignore[arg-type]
        return Trace(
            given=given,
            input=entered,
            hidden=(entered,),  # type: ignore[arg-type]
            pre_code=entered,  # type: ignore[arg-type]
            inner=inner,
            aim=model.aim(given),
            head=model.decoder[-1],
            activation=model.activations[-1],
            extras=dict(model.extras.items()),
        )

    @cached_property
    def losses(self) -> dict[str, Tensor]:
        """Mean loss of each modality over the rows that have it."""
        kinds = self.model.config.losses or {}
        return {name: self.decoded(name).loss(kinds[name]) for name in self.given.parts}

    def loss(self, kind: str | None = None) -> Tensor:
        """The mean over the modalities that the batch has, each times its factor."""
        factors, given = self.model.factors, self.given
        if given.shares is not None:
            return torch.stack([given.weighed(factors[name], name) * loss for name, loss in self.losses.items()]).sum()
        return torch.stack([factors[name] * loss for name, loss in self.losses.items()]).sum() / len(self.losses)


def joint_nnz(config: JointConfig) -> dict[str, int]:
    """Number of active weights that the configuration asks of each layer."""
    return {
        f"{name}.{layer}": count for name, of in config.modalities.items() for layer, count in target_nnz(of).items()
    }
