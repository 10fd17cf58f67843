"""The compiled kernels, or numpy and scipy in their place.

Arrays are C-contiguous; values are float32, ``indptr`` and ``indices`` int32. A *panel* is ``lanes`` samples,
feature-major: ``[features, lanes]``; a batch is a stack ``[n_panels, features, lanes]``.
Where the extension could not be built, numpy and scipy stand in and one warning says so; `reference` is what they
compute, there in float64 too. Signatures and what each kernel does: ``dsae/_kernels.pyi``.
"""

from __future__ import annotations

import math
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from dsae.kernels import _numpy as reference

try:
    from dsae import _kernels as _implementation
except ImportError as error:  # no compiler at installation, or a runtime library is missing
    # A level that this CPU lacks was asked for by name: to fall back to numpy would hide it.
    if "DSAE_ISA" in os.environ and "DSAE_ISA" in str(error):
        raise
    _implementation = reference
    warnings.warn(
        f"dsae runs without its compiled kernels, much slower ({error}). "
        "Install a C++ compiler and the Python headers, then reinstall dsae.",
        RuntimeWarning,
        stacklevel=2,
    )

NATIVE = _implementation is not reference
if TYPE_CHECKING or NATIVE:
    from dsae._kernels import *  # noqa: F403
else:
    from dsae.kernels._numpy import *  # noqa: F403

_forked = False


def _in_child() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_in_child)


def forked() -> bool:
    """Whether this process is a child forked from one that had imported the kernels."""
    return _forked


ISAS = ("x86-64-v4", "x86-64-v3", "baseline", "numpy")  # whatever `isa` may give
LANES = (16, 32, 64)  # one, two or four AVX-512 registers of float32


def lanes_for(n_rows: int) -> int:
    """Samples per panel for a batch of ``n_rows``: the narrowest that holds them, at most 64."""
    return next((lanes for lanes in LANES if n_rows <= lanes), LANES[-1])


def empty_panels(n_rows: int, n_features: int, lanes: int | None = None) -> np.ndarray:
    """An uninitialised stack of panels that holds ``n_rows`` samples."""
    lanes = lanes or lanes_for(n_rows)
    return aligned((-(-n_rows // lanes), n_features, lanes))


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised float32 array on a cache line, from memory that is kept for the next when it is freed.

    numpy aligns to 16 bytes only; loads that touch two lines made spmm take 4.2 ms, not 2.85, at 4096 x 4096. Fresh
    pages for every array of a step cost as much as the kernels.
    """
    return _implementation.empty(math.prod(shape)).reshape(shape)
