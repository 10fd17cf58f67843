"""Activations and their derivatives by hand, written over what they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dsae.config import LARGEST_LOG_RATE


class ByHand(NamedTuple):
    """An activation, its value and its derivative written over what they are given.

    Parameters
    ----------
    apply : callable
        ``apply(z)``: the output.
    back : callable
        ``back(dh, h)``: the input's gradient from the output's gradient and the output.
    """

    apply: Callable[[Tensor], Tensor]
    back: Callable[[Tensor, Tensor], Tensor]


def _softmax(z: Tensor) -> Tensor:
    return torch.softmax(z, 1, out=z)  # type: ignore[call-overload]


def _softmax_back(dh: Tensor, h: Tensor) -> Tensor:
    return dh.sub_((dh * h).sum(1, keepdim=True)).mul_(h)


def _relu_back(dh: Tensor, h: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward.grad_input(dh, h, 0, grad_input=dh)


def _sigmoid_back(dh: Tensor, h: Tensor) -> Tensor:
    return torch.ops.aten.sigmoid_backward.grad_input(dh, h, grad_input=dh)


HAND_WRITTEN = {
    "identity": ByHand(lambda z: z, lambda dh, h: dh),
    "relu": ByHand(Tensor.relu_, _relu_back),
    "sigmoid": ByHand(Tensor.sigmoid_, _sigmoid_back),
    "softmax": ByHand(_softmax, _softmax_back),
    "exp": ByHand(lambda z: z.clamp_(max=LARGEST_LOG_RATE).exp_(), lambda dh, h: dh.mul_(h)),
}
