"""One network on its way to a code and from it, so that several may meet in one code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dsae.config import Loss
from dsae.ops import _native
from dsae.ops._rows import Panels
from dsae.ops._step import Centring, NetworkGradients, StepLayer

Finished = Callable[[int], None]


class Tower:
    """The layers before and after a code, on dense rows; float32 on the CPU, with compiled kernels.

    A step is `encode`, `decode` and `back`, once each. Between them stands whatever makes a code of what one tower
    or several have given: the code's activation, a mean over towers, penalties.

    Parameters
    ----------
    encoder, decoder : sequence of StepLayer
        One layer or more each. The activation of the encoder's last layer is left to the caller.

    Attributes
    ----------
    network : NetworkGradients
        Of all layers; ``network.grads`` holds the gradients, ``network.flat`` the same in one buffer.

    Examples
    --------
    >>> from dsae.config import activation_of, loss_of
    >>> from dsae.topology import Topology
    >>> half, identity = torch.full((6,), 0.5), activation_of("identity")
    >>> encoder = StepLayer(Topology.full((2, 3)), half, torch.zeros(2), identity)
    >>> decoder = StepLayer(Topology.full((3, 2)), half, torch.zeros(3), identity)
    >>> tower, x = Tower([encoder], [decoder]), torch.ones(1, 3)
    >>> code = tower.encode(x)
    >>> loss, by_code = tower.decode(code, x, loss_of("mse"))
    >>> tower.back(by_code)
    >>> loss, by_code, tower.network.grads[0]
    (0.25, tensor([[0.5000, 0.5000]]), tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000]))
    """

    def __init__(self, encoder: Sequence[StepLayer], decoder: Sequence[StepLayer]) -> None:
        self.network = NetworkGradients([*encoder, *decoder])
        self._n_encoder = len(encoder)
        self._z: Panels | None = None

    @property
    def grads(self) -> tuple[Tensor, ...]:
        """Gradients of every layer's values and bias, from the encoder's first layer on; the same places each time."""
        return self.network.grads

    def encode(self, x: Tensor, centring: Centring | None = None) -> Tensor:
        """The code before its activation, ``[n_rows, n_components]``; what `back` needs is kept.

        Parameters
        ----------
        x : Tensor, shape (n_rows, n_features)
        centring : pair of Tensor, shape (n_features,), optional
            Mean that rows are less, and scale by which they are divided.
        """
        self._z = self.network.forward(x, self._n_encoder, centring, activated=False)
        return _native.unpack(self._z.tensor, self._z.n_rows)

    def decode(
        self,
        code: Tensor,
        aim: Tensor,
        loss: Loss,
        *,
        scale: float = 1.0,
        size: float | None = None,
        known: Tensor | None = None,
        weight: Tensor | None = None,
        offset: Tensor | None = None,
        dispersion: tuple[Tensor, Tensor] | None = None,
        finished: Finished | None = None,
    ) -> tuple[float, Tensor]:
        """The mean loss of what a code is decoded to, the gradients of the decoder, and that of the code.

        Parameters
        ----------
        code : Tensor, shape (n_rows, n_components)
            Of as many rows as ``aim``, which need not be those that were encoded.
        aim : Tensor, shape (n_rows, n_outputs)
            As the last layer is to give it: centred where its output is.
        loss : Loss
            One that has a kernel.
        scale : float
            Of all gradients: they are those of ``scale`` times the mean loss.
        size : float, optional
            What the mean divides by, the sum of all weights; by default the numbers of ``aim``.
        known, weight, offset, dispersion, finished
            As in `NetworkGradients.loss`.

        Returns
        -------
        float
        Tensor, shape (n_rows, n_components)
        """
        size = max(1, aim.numel()) if size is None else size
        entering = Panels(_native.pack(code), code.shape[0])
        d_code = torch.empty_like(entering.tensor)
        summed = self.network.loss(
            entering,
            loss,
            scale * loss.factor / size,
            first=self._n_encoder,
            target=aim,
            known=known,
            weight=weight,
            dx=d_code,
            finished=finished,
            offset=offset,
            dispersion=dispersion,
        )
        return summed / size, _native.unpack(d_code, code.shape[0])

    def back(self, dz: Tensor, finished: Finished | None = None) -> None:
        """The gradients of the encoder, from that of what `encode` gave, ``[n_rows, n_components]``.

        Parameters
        ----------
        dz : Tensor, shape (n_rows, n_components)
        finished : callable, optional
            Is told the number of a layer as soon as all its gradients are there, the last layer first.
        """
        assert self._z is not None
        self.network.backward(self._z, _native.pack(dz, self._z.lanes), activated=False, finished=finished)
        self._z = None
