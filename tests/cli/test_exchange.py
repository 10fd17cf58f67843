"""`dsae export` and `dsae import`."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.interop.foreign import agree, saelens, saelens_folder

from dsae import load, store
from dsae.data import write_rows


@pytest.fixture
def dictionary(make_model, tmp_path):
    return store.write(tmp_path / "model", make_model(6, 10, code_activation="batchtopk", k=3, density=0.4))


def test_a_model_goes_out_and_comes_back(dsae, dictionary, tmp_path):
    told = ["--metadata", "model_name=gpt2", "--metadata", "context_size=128"]
    done = dsae("export", dictionary, "--to", "saelens", "-o", tmp_path / "sae", *told, "--json")
    assert done.code == 0, done.err
    assert set(json.loads(done.text)) == {"format", "cfg.json", "sae_weights.safetensors"}
    metadata = json.loads((tmp_path / "sae" / "cfg.json").read_text())["metadata"]
    assert (metadata["model_name"], metadata["context_size"]) == ("gpt2", 128)
    done = dsae("import", tmp_path / "sae", "-o", tmp_path / "back", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.text)
    assert (facts["format"], facts["code"], facts["k"], facts["latents"]) == ("saelens", "batchtopk", 3, 10)
    agree(load(tmp_path / "back"), *saelens(tmp_path / "sae"))


def test_halves_are_written_for_onnx(dsae, dictionary, tmp_path):
    onnx = pytest.importorskip("onnx")
    args = ["export", dictionary, "--to", "onnx", "-o", tmp_path / "onnx", "--part", "decoder", "--every-weight"]
    assert dsae(*args).code == 0
    graph = onnx.load(tmp_path / "onnx" / "model.onnx").graph
    assert ([put.name for put in graph.input], [put.name for put in graph.output]) == (["code"], ["reconstruction"])
    assert not graph.sparse_initializer


def test_rates_are_counted_on_rows(dsae, dictionary, tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    write_rows(tmp_path / "rows.csv", rows)
    args = ["export", dictionary, "--to", "saelens", "-o", tmp_path / "sae", "--rows", tmp_path / "rows.csv"]
    done = dsae(*args)
    assert done.code == 0
    assert "sae_weights.safetensors " in done.text
    rates = (load(dictionary).encode(rows) != 0).mean(axis=0)
    found = load_file(tmp_path / "sae" / "sparsity.safetensors")["sparsity"]
    np.testing.assert_allclose(found, np.log10(rates + 1e-10), rtol=1e-5)


def test_mistakes_are_told_in_one_line(dsae, dictionary, tmp_path, make_model):
    sae, out = saelens_folder(tmp_path / "sae", "standard"), tmp_path / "out"
    deep = store.write(tmp_path / "deep", make_model(6, 3, hidden_layer_sizes=(4,)))
    for args, message in (
        (["export", dictionary, "--to", "saelense", "-o", out], "Did you mean 'saelens'?"),
        (["export", dictionary, "--to", "sparsify", "-o", out], "[export] sparsify holds codes by topk"),
        (["export", deep, "--to", "saelens", "-o", out], "the model has 2 and 2. Export it to onnx"),
        (["export", dictionary, "--to", "saelens", "-o", out, "--metadata", "gpt2"], "--metadata must be KEY=VALUE"),
        (["export", dictionary, "--to", "saelens", "-o", out, "--id-column", "a"], "--id-column says how --rows"),
        (["export", dictionary, "--to", "saelens", "-o", out, "--part", "encoder"], "SAELens takes metadata and rates"),
        (["export", sae, "--to", "saelens", "-o", out], "is not a model folder"),
        (["import", tmp_path / "none", "-o", out], "[import] "),
        (["import", sae, "-o", sae], "exists and is not a model folder"),
        (["import", sae, "-o", out, "--from", "sparsify"], "cfg.json lacks k."),
        (["import", sae], "Missing option '-o'"),
    ):
        done = dsae(*args)
        assert done.code == 2, args
        assert message in done.err
        assert done.err.count("\n") == 1
        assert not out.exists()
