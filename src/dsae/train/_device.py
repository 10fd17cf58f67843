"""Where training runs, and what it must not inherit from torch's global state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from dsae import ops
from dsae.config import DEVICES, AutoencoderConfig, JointConfig, one_of

# Launching the kernels of a step takes a GPU longer than the step of a smaller network takes a few cores.
_PAYS_ABOVE = 1 << 20
_default_dtype = ops.Shared(torch.get_default_dtype, torch.set_default_dtype)


def device_of(name: str, config: AutoencoderConfig | JointConfig) -> torch.device:
    """The device that ``name`` means: ``auto`` is cuda where there is one and the network has 2^20 possible weights.

    Raises
    ------
    ValueError
        If it is none of ``auto``, ``cpu`` and ``cuda``, or if torch finds no cuda device.
    """
    one_of("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("[fit] device='cuda' needs a GPU that torch can use; it finds none. Use 'auto' or 'cpu'.")
    n_weights = sum(n_out * n_in for n_out, n_in in config.layer_shapes.values())
    pays = n_weights >= _PAYS_ABOVE and torch.cuda.is_available()
    return torch.device("cuda" if name == "cuda" or (name == "auto" and pays) else "cpu")


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Gradients on, float32 by default, tensors on the CPU unless told otherwise, whatever the caller has set.

    And torch on no more threads than its operations are worth.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(ops.sparing_threads())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_default_dtype.kept())
        torch.set_default_dtype(torch.float32)
        yield
