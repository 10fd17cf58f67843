"""The runtime of a joint model computes what training did."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import pairs

import dsae
from dsae.config import AutoencoderConfig, JointConfig
from dsae.data import JointSource
from dsae.runtime import JointRuntime
from dsae.sampling import fit_sampler
from dsae.store import write_joint
from dsae.train._joint import JointStart, TrainConfig, as_model
from dsae.train._joint_batch import JointCorruption

RNG = np.random.default_rng(0)
ROWS = {
    "image": RNG.random((40, 12)).astype(np.float32),
    "text": sp.random(40, 30, 0.2, "csr", np.float32, RNG),
    "table": RNG.normal(5, 3, (40, 4)).astype(np.float32),
}


def trained(code="identity", k=None):
    source = JointSource(ROWS)
    of = {
        name: AutoencoderConfig(X.shape[1], 6, (8,), density=0.5, code_activation=code, k=k) for name, X in ROWS.items()
    }
    model = JointStart.of(source, JointConfig(of), TrainConfig(), None, 0).model
    with torch.no_grad():
        model.log_weight.normal_()
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return model.eval()


@pairs(
    {"code, k": [("identity", None), ("relu", None), ("sigmoid", None), ("softmax", None), ("topk", 2)]},
    given=[("image",), ("text",), ("image", "table"), ("image", "text", "table")],
    lacking=[False, True],
)
def test_codes_and_rows_are_those_of_training(code, k, given, lacking):
    model = trained(code, k)
    runtime = JointRuntime(as_model(model))
    has = {name: RNG.random(40) < 0.6 for name in given[1:]} if lacking else {}
    source = JointSource({name: ROWS[name] for name in given}, has)
    with torch.no_grad():
        (batch,) = source.batches(100)
        trace = model.trace(JointCorruption.of(model, TrainConfig(), 0, None).whole(batch))
    codes = runtime.codes(source)
    np.testing.assert_allclose(codes, trace.code, atol=1e-5)
    X = {
        name: ROWS[name]
        if name not in has
        else [row if there else None for row, there in zip(ROWS[name], has[name], strict=True)]
        for name in given
    }
    np.testing.assert_allclose(runtime.encode(X), codes, atol=1e-6)
    for name in given:
        made = trace.decoded(name)
        restored = model.of(name)._restored(made.rows(made.output)).detach()
        at = source.has(name)
        np.testing.assert_allclose(runtime.decode(codes, name)[at], restored, atol=1e-4)


def test_it_runs_without_torch(tmp_path):
    runtime = JointRuntime(as_model(trained("relu")))
    runtime = runtime.with_sampler(fit_sampler(runtime.encode(ROWS), n_components=2, random_state=0))
    folder = write_joint(tmp_path / "model", runtime.model)
    np.save(tmp_path / "made.npy", runtime.sample(7, "table", random_state=0))
    np.save(tmp_path / "image.npy", ROWS["image"])
    np.save(tmp_path / "codes.npy", dsae.load(folder).encode({"image": ROWS["image"]}))
    code = f"""
        import sys
        import numpy as np
        sys.modules["torch"] = None
        import dsae
        model = dsae.load({str(folder)!r})
        X = np.load({str(tmp_path / "image.npy")!r})
        codes = model.encode({{"image": X}})
        np.testing.assert_array_equal(codes, np.load({str(tmp_path / "codes.npy")!r}))
        assert model.translate({{"image": X}}, "table").shape == (40, 4)
        made = model.sample(7, random_state=0)
        np.testing.assert_array_equal(made["table"], np.load({str(tmp_path / "made.npy")!r}))
        assert model.interpolate({{"image": X}}, {{"image": X}}, 3, "text").shape == (40, 3, 30)
        assert "sklearn" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_a_misspelt_modality_is_told():
    runtime = JointRuntime(as_model(trained()))
    for verb in (lambda: runtime.decode(np.zeros((1, 6)), "imge"), lambda: runtime.translate(ROWS, "imge")):
        with pytest.raises(ValueError, match="Did you mean 'image'"):
            verb()
    with pytest.raises(ValueError, match="must have an encoder"):
        runtime.render("image", ROWS["image"])
    assert "image 12, text 30, table 4" in repr(runtime)


def test_a_joint_model_can_be_pickled():
    import pickle

    runtime = JointRuntime(as_model(trained()))
    again = pickle.loads(pickle.dumps(runtime))
    np.testing.assert_array_equal(again.encode(ROWS), runtime.encode(ROWS))
