"""A child forked after its parent used kernels and torch on several threads works, with the same results."""

import os
import textwrap

import pytest

CHILDREN = """
    import os, signal, sys, tempfile, traceback
    import numpy as np, torch
    import dsae
    from dsae import DeepSparseAutoencoder, kernels

    torch.set_num_threads(2)
    torch.mm(torch.ones(1000, 1000), torch.ones(1000, 1000))  # torch's threads have started
    X = np.random.default_rng(0).normal(size=(800, 300)).astype(np.float32)
    options = dict(hidden_layer_sizes=(512,), density={density}, shrink={shrink!r}, max_iter=1, random_state=0)

    def fitted():
        return DeepSparseAutoencoder(8, **options).fit(X)

    def results(model):
        with tempfile.TemporaryDirectory() as folder:
            model.save(folder + "/m")
            loaded = dsae.load(folder + "/m")
        return model.transform(X), loaded.encode(X), fitted().transform(X)

    model = fitted()
    expected = results(model)

    def child():
        signal.alarm({limit})  # a hang ends it
        for got, right in zip(results(model), expected):
            np.testing.assert_allclose(got, right, rtol=1e-3, atol=1e-3)

    children = []
    for _ in range({n}):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                child()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(pid)
    failed = [status for pid in children if (status := os.waitpid(pid, 0)[1])]
    results(model)  # and so does the parent
    sys.exit(f"children ended with {{failed}}" if failed else 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("n", "density"), [(1, 1.0), (4, 0.2)])
def test_a_forked_child_transforms_fits_saves_and_loads(fresh, n, density):
    pytest.importorskip("torch")
    shrink = "none" if density == 1 else "random"
    code = textwrap.dedent(CHILDREN).format(n=n, density=density, shrink=shrink, limit=600)
    run = fresh(code)
    assert run.returncode == 0, run.stderr
