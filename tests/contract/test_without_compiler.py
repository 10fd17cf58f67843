"""Where the extension could not be built everything works, by numpy, scipy and plain torch."""

import numpy as np
import pytest

from dsae import kernels, load

SCRIPT = """
import sys, warnings
sys.modules["dsae._kernels"] = None
warnings.filterwarnings("error")
warnings.filterwarnings("ignore", "dsae runs without its compiled kernels", RuntimeWarning)
import numpy as np
import scipy.sparse as sp
from dsae import DeepSparseAutoencoder, DSAOutlierDetector, kernels
assert not kernels.NATIVE and not hasattr(kernels, "spmm")
X = np.load(sys.argv[1])
for rows in (X, sp.csr_matrix(X)):
    for settings in ({"shrink": "rigl"}, {"shrink": "set", "l1": 0.1}, {"code_activation": "topk", "k": 2}):
        dsa = DeepSparseAutoencoder(3, hidden_layer_sizes=(8,), density=0.3, max_iter=4, random_state=0, **settings)
        dsa.fit(rows).partial_fit(rows)
        assert np.isfinite(dsa.inverse_transform(dsa.transform(rows))).all()
        assert abs(dsa.density_ - 0.3) < 0.02
dsa.save(sys.argv[2])
np.save(sys.argv[3], dsa.transform(X))
DSAOutlierDetector(n_estimators=1, random_state=0).fit(X).predict(X)
"""


@pytest.mark.skipif(not kernels.NATIVE, reason="the extension is not built")
def test_models_are_trained_used_and_saved_without_the_extension(fresh, tmp_path):
    rng = np.random.default_rng(0)
    X = np.maximum(rng.normal(size=(120, 3)) @ rng.normal(size=(3, 12)), 0).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    args = [tmp_path / name for name in ("x.npy", "model", "codes.npy")]
    run = fresh(SCRIPT, *args)
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(load(args[1]).encode(X), np.load(args[2]), rtol=1e-4, atol=1e-5)
