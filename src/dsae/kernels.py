"""The one door to the compiled kernels.

Arrays are C-contiguous; values are float32, ``indptr`` and ``indices`` int32. A *panel* is ``lanes`` samples,
feature-major: ``[features, lanes]``; a batch is a stack ``[n_panels, features, lanes]``.
Where the extension could not be built, numpy and scipy stand in and one warning says so.
"""

from __future__ import annotations

import warnings

import numpy as np

try:
    import dsae._kernels as _impl  # pyright: ignore[reportMissingImports]

    NATIVE = True
except ImportError as error:  # no compiler at installation, or a runtime library is missing
    import dsae._fallback as _impl

    NATIVE = False
    warnings.warn(
        f"dsae runs without its compiled kernels, much slower ({error}). "
        "Install a C++17 compiler and the Python headers, then reinstall dsae.",
        RuntimeWarning,
        stacklevel=2,
    )

isa = _impl.isa
threads = _impl.threads
pack = _impl.pack
pack_csr = _impl.pack_csr
unpack = _impl.unpack
spmm = _impl.spmm
sddmm = _impl.sddmm
spmv = _impl.spmv
gather = _impl.gather
transpose = _impl.transpose
rewire = _impl.rewire
patch_slots = _impl.patch_slots

LANES = (16, 32, 64)


def lanes_for(n_rows: int) -> int:
    """Samples per panel for a batch of ``n_rows``: the narrowest that holds them, at most 64."""
    return next((lanes for lanes in LANES if n_rows <= lanes), LANES[-1])


def empty_panels(n_rows: int, n_features: int, lanes: int | None = None) -> np.ndarray:
    """An uninitialised stack of panels that holds ``n_rows`` samples."""
    lanes = lanes or lanes_for(n_rows)
    return np.empty((-(-n_rows // lanes), n_features, lanes), np.float32)
