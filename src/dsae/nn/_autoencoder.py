"""Autoencoders of any depth, made of sparse layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from dsae import ops
from dsae.config import ACTIVATIONS as RECORDS
from dsae.config import TRANSFORMS, AutoencoderConfig
from dsae.nn import _codes
from dsae.nn._activations import Activation, Thresholded, activation
from dsae.nn._centred import Centred, standardised
from dsae.nn._connected import connected, switch
from dsae.nn._dense import DenseAutoencoder
from dsae.nn._density import target_nnz
from dsae.nn._fold import fold, to_layer
from dsae.nn._layered import Layered
from dsae.nn._linear import SparseLinear, bias_of
from dsae.nn._modules import Modules
from dsae.nn._trace import Trace, activated
from dsae.ops import Code, Given, Panels, PreCode, SparseRows
from dsae.topology import Layer, Topology

# The first reconstruction is nearly the mean. Test MSE of 784-512-128-32 after 6 epochs on 20000 MNIST images, for
# 1, 0.1, 0.01: dense 0.0200, 0.0136, 0.0135; density 0.05 0.0262, 0.0212, 0.0210.
_LAST_GAIN = 0.1


class Autoencoder(Layered, Centred):
    """Encoder and decoder, independent and of any depth.

    Parameters
    ----------
    config : AutoencoderConfig
        Its density, spread over the layers, is that of the random initial topology.
    generator : torch.Generator, optional
        Draws edges and initial values.
    topologies : mapping of str to Topology, optional
        Edges of layers by name, instead of a random draw.

    Attributes
    ----------
    stand_in : Tensor, shape (n_features,)
        What is in place of values not known, before the input transform.
    fills_by_total : bool
        Whether it is in proportion to the total of what is known in a row, for counts; see `dsae.data.filled`.

    Examples
    --------
    >>> model = Autoencoder(AutoencoderConfig(n_features=64, n_components=8, hidden_layer_sizes=(32,), density=0.1))
    >>> model(torch.rand(5, 64)).shape, model.encode(torch.rand(5, 64)).shape
    (torch.Size([5, 64]), torch.Size([5, 8]))
    """

    def __init__(
        self,
        config: AutoencoderConfig,
        generator: torch.Generator | None = None,
        topologies: Mapping[str, Topology] | None = None,
    ) -> None:
        if not isinstance(config, AutoencoderConfig):
            raise TypeError(
                f"[Autoencoder] config must be a dsae.config.AutoencoderConfig; got {type(config).__name__}."
            )
        super().__init__(config)
        counts = target_nnz(config)
        halves: dict[str, list[SparseLinear]] = {"encoder": [], "decoder": []}
        activations: list[Activation] = []
        last = list(config.layer_shapes)[-1]
        for name, (n_out, n_in) in config.layer_shapes.items():
            kind = config.activations[name]
            layer = SparseLinear(
                n_in,
                n_out,
                density=counts[name] / (n_out * n_in),
                topology=(topologies or {}).get(name),
                generator=generator,
                block_size=config.block_size,
            )
            layer.reset_parameters(_LAST_GAIN if name == last else RECORDS[kind].gain, generator)
            halves[name.split(".")[0]].append(layer)
            activations.append(activation(kind, n_out, config.k))
        self.encoder, self.decoder = Modules(halves["encoder"]), Modules(halves["decoder"])
        self.activations = Modules(activations)
        self.extras = nn.ParameterDict()
        self._connected: tuple[tuple[Topology, ...], np.ndarray] | None = None

    @property
    def layers(self) -> dict[str, SparseLinear]:
        """The linear layers by name, from the input to the output."""
        return dict(zip(self.config.layer_shapes, [*self.encoder, *self.decoder], strict=True))

    @property
    def final_nnz(self) -> dict[str, int]:
        """Active weights that the configuration asks of each layer."""
        return target_nnz(self.config)

    @property
    def code_by_entries(self) -> bool:
        """Whether training leaves out the code's zeros, as far as can be told before: see `docs/design/codes.md`."""
        return _codes.by_entries(self.encoder[-1], self.code_activation)

    @property
    def code_activation(self) -> Activation:
        """The activation of the code."""
        return self.activations[len(self.encoder) - 1]

    @property
    def thresholds(self) -> Thresholded | None:
        """The activation of a code that has thresholds."""
        found = self.code_activation
        return found if isinstance(found, Thresholded) else None

    @property
    def connected(self) -> np.ndarray:
        """Which latents an input reaches and reach an output over active edges, bool ``[n_components]``."""
        now = tuple(layer.topology for layer in self.layers.values())
        known = self._connected
        if known is None or any(one is not other for one, other in zip(now, known[0], strict=True)):
            n = len(self.encoder)
            known = self._connected = now, connected(now[:n], now[n:])
        return known[1]

    def switch_unconnected(self) -> None:
        """Keep latents of a dictionary that are not `connected` from firing; those that are again may.

        A latent without inputs is a constant, one without an atom adds nothing: either would take the place of another
        in a code of ``k``. Their biases become -1e30, and 0 when edges have grown on both sides.
        """
        if self.config.code.sparse:
            switch(bias_of(self.encoder[-1]), self.connected)

    def names(self, half: str) -> list[str]:
        """Layer names of ``"encoder"`` or ``"decoder"``, in order."""
        return [name for name in self.config.layer_shapes if name.startswith(half)]

    def steps(
        self, names: Sequence[str], x: Tensor | Panels | SparseRows | Code
    ) -> list[tuple[Tensor | Panels, Tensor | Panels]]:
        """Each named layer's output before and after its activation."""
        n_rows = x.shape[0]
        layers, activations = self.layers, dict(zip(self.config.layer_shapes, self.activations, strict=True))
        out = []
        for name in names:
            z = layers[name](x)
            if isinstance(x, Code):
                z = self.enter(z)  # type: ignore[arg-type]
            x = activated(activations[name], z, n_rows)  # type: ignore[arg-type]
            out.append((z, x))
        return out

    def enter(self, rows: Tensor | SparseRows) -> Tensor | Panels | SparseRows:
        """Rows as panels, unless every layer runs dense; sparse rows become panels after the first layer."""
        if all(layer.executor == "dense" for layer in self.layers.values()):
            return rows
        return replace(rows, packed=True) if isinstance(rows, SparseRows) else ops.pack(rows)

    def encode(self, x: Tensor | SparseRows) -> Tensor:
        """Codes ``[batch, n_components]`` of rows ``[batch, n_features]``."""
        code = self.steps(self.names("encoder"), self.enter(self.centred(x)))[-1][1]
        return ops.unpack(code) if isinstance(code, Panels) else code

    def decode(self, code: Tensor) -> Tensor:
        """Rows ``[batch, n_features]`` from codes ``[batch, n_components]``."""
        output = self.steps(self.names("decoder"), self.enter(code))[-1][1]
        return self._restored(ops.unpack(output) if isinstance(output, Panels) else output)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct rows ``[batch, n_features]``."""
        trace = self.trace(x)
        return self._restored(trace.rows(trace.output))

    def trace(
        self,
        x: Tensor | SparseRows | Given,
        shortcut: SparseLinear | None = None,
        *,
        transformed: Tensor | None = None,
    ) -> Trace:
        """One forward pass over rows ``[batch, n_features]`` that keeps what losses and penalties need.

        Parameters
        ----------
        x : Tensor, SparseRows or Given
            Rows that are their own target, or a batch with target and weights.
        shortcut : SparseLinear, optional
            Reconstructs from the first layer's output, in place of all layers behind it.
        transformed : Tensor, optional
            ``x`` after the input transform, where gradients by that are wanted.
        """
        given = x if isinstance(x, Given) else Given(x)
        centred = self.centred(given.x) if transformed is None else self._less_mean(transformed)
        if shortcut is None:
            entered, hidden, pre_code = self._encoded(centred)
            decoded = self.steps(self.names("decoder")[:-1], hidden[-1])
        else:
            entered, decoded = self.enter(centred), []
            ((pre_code, after),) = self.steps(self.names("encoder")[:1], entered)
            hidden = (after,)
        return Trace(
            given=given,
            input=entered,
            hidden=hidden,
            pre_code=pre_code,
            inner=tuple(after for _, after in decoded),
            aim=self.aim(given, centred),
            head=self.decoder[-1] if shortcut is None else shortcut,
            activation=self.activations[-1],
            extras=dict(self.extras.items()),
        )

    def first_latents(self, trace: Trace, width: int) -> Trace:
        """The same pass with the first ``width`` latents alone; all others are zero for the decoder."""
        if width >= self.config.n_components:
            return trace
        code = _codes.first_latents(trace.hidden[-1], width)
        decoded = self.steps(self.names("decoder")[:-1], code)
        return replace(trace, hidden=(*trace.hidden[:-1], code), inner=tuple(after for _, after in decoded))

    def aim(self, given: Given, centred: Tensor | SparseRows | None = None) -> Tensor | SparseRows:
        """What the output of a batch is compared with: its target, centred where the output is linear.

        Parameters
        ----------
        given : Given
        centred : Tensor or SparseRows, optional
            Its rows, if they have been centred already.

        Returns
        -------
        Tensor or SparseRows
            Sparse rows hold their weights.
        """
        if not self.config.output.linear:
            aim = given.aim
        elif given.target is None:
            aim = self.centred(given.x) if centred is None else centred
        else:
            aim = standardised(given.target, self.target_mean, self.target_scale)
        return given.with_weights(aim) if given.weighted and isinstance(aim, SparseRows) else aim

    def _encoded(
        self, centred: Tensor | SparseRows
    ) -> tuple[Tensor | Panels | SparseRows, tuple[Tensor | Panels | Code, ...], Tensor | Panels | PreCode]:
        """What enters, the output of every encoder layer, and the code before its activation."""
        names, sparse = self.names("encoder"), self.code_by_entries
        layer, activation = self.encoder[-1], self.code_activation
        entered = centred if sparse and len(names) == 1 else self.enter(centred)
        hidden = tuple(after for _, after in self.steps(names[:-1], entered))
        if sparse:
            found = _codes.encode(layer, activation, hidden[-1] if hidden else entered)
            if found is not None:
                return entered, (*hidden, found[1]), found[0]
            entered = entered if hidden else self.enter(centred)
        ((pre_code, code),) = self.steps(names[-1:], hidden[-1] if hidden else entered)
        return entered, (*hidden, code), pre_code

    def threshold(self) -> np.ndarray | None:
        """Threshold per latent below which its code is zero; None for codes without thresholds."""
        found = self.thresholds
        return None if found is None else found.threshold.detach().expand(self.config.n_components).cpu().numpy().copy()

    @property
    def mean_threshold(self) -> float | None:
        """Mean of the thresholds of the code, in the model's own units; None for codes without."""
        found = self.thresholds
        return None if found is None else found.threshold.detach().mean().item()

    def set_extras(self, extras: Mapping[str, np.ndarray]) -> None:
        """Train these numbers per feature beside the weights, for a loss that takes them."""
        self.extras = nn.ParameterDict({name: nn.Parameter(torch.tensor(v)) for name, v in extras.items()})
        self.extras.to(self.mean.device)

    def to_extras(self) -> dict[str, np.ndarray]:
        """What the loss has trained beside the weights, float32 ``[n_features]`` by name."""
        return {name: value.detach().float().cpu().numpy().copy() for name, value in self.extras.items()}

    def to_dense(self) -> nn.Module:
        """The same map as a plain torch module, with `torch.nn.Linear` for every layer.

        Returns
        -------
        torch.nn.Module
            Takes rows ``[batch, n_features]`` and returns their reconstruction; its methods ``encode`` and ``decode``
            are those of this model. What it holds are copies, in the mode (`eval` or `train`) of this model.

        Examples
        --------
        >>> model = Autoencoder(AutoencoderConfig(n_features=64, n_components=8, density=0.1)).eval()
        >>> torch.export.export(model.to_dense(), (torch.rand(2, 64),)).module()(torch.rand(2, 64)).shape
        torch.Size([2, 64])
        """
        layers = [layer.to_dense() for layer in self.layers.values()]
        config = self.config
        return DenseAutoencoder(
            layers,
            self.activations,
            len(self.encoder),
            (self.mean, self.scale),
            (self.target_mean, self.target_scale) if config.output.linear else None,
            (TRANSFORMS[config.input_transform], config.input_total),
        ).train(self.training)

    def to_layers(self) -> dict[str, Layer]:
        """The weights in plain arrays, centring and scaling folded into the first and the last layer."""
        arrays = {name: to_layer(layer) for name, layer in self.layers.items()}
        return fold(arrays, self.config, *self._moments)

    @torch.no_grad()
    def set_layers(self, layers: Mapping[str, Layer], threshold: np.ndarray | None = None) -> None:
        """Load folded weights, keeping this model's own centring and scaling; the reverse of `to_layers`.

        Raises
        ------
        ValueError
            If the layers' names or shapes are not this model's.
        """
        given = {name: layer.topology.shape for name, layer in layers.items()}
        if given != self.config.layer_shapes:
            raise ValueError(f"[Autoencoder] layers must be {self.config.layer_shapes}; got {given}.")
        # the centring that undoes the centring
        own = fold(layers, self.config, *((-mean / scale, 1 / scale) for mean, scale in self._moments))
        for name, layer in self.layers.items():
            topology, values, bias = own[name]
            layer.adopt(topology)
            layer.values.copy_(torch.tensor(values))
            bias_of(layer).copy_(torch.tensor(bias))
        if threshold is not None and self.thresholds is not None:
            self.thresholds.set_threshold(torch.tensor(threshold))
