"""`make interop`: models go to the real packages and come from them; its tables are those of docs/user/interop.md.

It fails where a code or a reconstruction differs by more than 1e-5 of its largest value, or another latent fires.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tests.interop.test_dense import built

from dsae import DeepSparseAutoencoder, interop, load, metrics
from dsae.data import make_sparse_features

D, F, K = 64, 256, 8
TOLERANCE = 1e-5
PEERS = Path(__file__).with_name("peers.py")
PACKAGES = ("sae-lens", "eai-sparsify", "dictionary-learning", "sentence-transformers", "torch")
CODES = {"relu": {"l1": 1e-2}, "topk": {"k": K}, "batchtopk": {"k": K}, "jumprelu": {"k": K}}


def rows():
    """Sums of few atoms around a large mean, as activations are."""
    made = make_sparse_features(7000, n_features=D, n_atoms=320, n_trees=0, random_state=0)
    return (made.X + np.random.default_rng(0).normal(0, 3, D)).astype(np.float32)


def fitted(X, code, density):
    plain = {"shrink": "none"} if density == 1 else {}
    dsa = DeepSparseAutoencoder(
        F, code_activation=code, density=density, max_iter=10, random_state=0, verbose=0, **plain, **CODES[code]
    )
    return dsa.set_params(hidden_layer_sizes=()).fit(X)


def compare(runtime, test, found):
    """Largest differences of code and reconstruction, and in how many rows the same latents fire."""
    ours = runtime.encode(test)
    rebuilt = runtime.decode(ours)
    same = ((ours != 0) == (found["code"] != 0)).all(axis=1)
    errors = [np.abs(mine - theirs).max() for mine, theirs in ((ours, found["code"]), (rebuilt, found["rebuilt"]))]
    scales = [np.abs(found[name]).max() for name in ("code", "rebuilt")]
    good = all(error <= TOLERANCE * scale for error, scale in zip(errors, scales, strict=True)) and same.all()
    return [*(f"{error:.1e}" for error in errors), f"{same.sum():,} of {len(same):,}"], good


def by_onnx(folder, test):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that it makes sparse weights dense
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    return session.run(["code", "reconstruction"], {"rows": test})


def by_torch(folder, test):
    import torch
    from safetensors.torch import load_file

    told, tensors = json.loads((folder / "dense.json").read_text()), load_file(folder / "dense.safetensors")
    with torch.no_grad():
        made, x = [], torch.as_tensor(test)
        for half in ("encoder", "decoder"):
            layers = built(told[half])
            own = {name.removeprefix(f"{half}."): t for name, t in tensors.items() if name.startswith(half)}
            layers.load_state_dict(own)
            x = layers(x)
            made.append(x.numpy())
    return made


HERE = {"onnx": by_onnx, "dense": by_torch}


def written(folder, X, test):
    """Our models as other libraries load them, and what onnxruntime and torch compute of them."""
    models = {f"{code}, density {density:g}": fitted(X, code, density) for code in CODES for density in (1.0, 0.2)}
    deep = {"hidden_layer_sizes": (128,), "density": 0.2, "max_iter": 10, "random_state": 0}
    models["64-128-32, density 0.2"] = DeepSparseAutoencoder(32, **deep).fit(X)
    for name, dsa in models.items():
        kind = dsa.runtime_.config.code_activation
        for to in (*(["saelens"] if kind in CODES else []), *(["sparsify"] if kind == "topk" else []), *HERE):
            place = interop.save(dsa, folder / ("here" if to in HERE else "ours") / f"{to}: {name}", to)
            dsa.save(folder / "kept" / place.name)
            if to in HERE:
                code, rebuilt = HERE[to](place, test)
                (folder / "ours").mkdir(exist_ok=True)
                np.savez(folder / "ours" / f"{place.name}.npz", code=code, rebuilt=rebuilt)
    for place in sorted(path for path in (folder / "theirs").iterdir() if path.is_dir()):
        runtime, title = interop.load(place), place.name.replace(":", "'s")
        bridges = (
            ["sparsify"] * (runtime.config.code_activation == "topk") if title.startswith("saelens") else ["saelens"]
        )
        for to in bridges:
            interop.save(runtime, folder / "ours" / f"{to}: {title}", to)
            runtime.save(folder / "kept" / f"{to}: {title}")
    told = {"model_name": "random", "hook_name": "blocks.1.hook_resid_pre", "context_size": 32, "prepend_bos": False}
    lm = fitted(np.load(folder / "activations_train.npy"), "batchtopk", 1.0)
    interop.save(lm, folder / "lm", "saelens", metadata=told)
    return lm.runtime_


def table(head, lines):
    rule = "|".join("---" for _ in head)
    return "\n".join(["| " + " | ".join(head) + " |", f"|{rule}|", *("| " + " | ".join(line) + " |" for line in lines)])


def evaluation(folder, runtime):
    """What SAELens measures of an export beside what dsae measures of the model."""
    found = json.loads((folder / "evaluation.json").read_text())
    theirs = {name: value for group in found["metrics"].values() for name, value in group.items()}
    X = np.load(folder / "activations_test.npy")
    ours = metrics.evaluate(runtime, X)
    rates = metrics.activation_rates(runtime.encode(X))
    pairs = {
        "`l0`": (theirs["l0"], "`mean_l0`", ours["mean_l0"]),
        "`explained_variance`": (theirs["explained_variance"], "1 - `fvu`", 1 - ours["fvu"]),
        "`mse`": (theirs["mse"], "`squared_error_per_row`", ours["squared_error_per_row"]),
        "largest `feature_density`": (max(found["latents"]["feature_density"]), "largest rate", rates.max()),
    }
    good = all(np.isclose(theirs, ours, rtol=1e-4) for theirs, _, ours in pairs.values())
    good &= np.allclose(found["latents"]["feature_density"], rates, atol=1e-6)
    lines = [[name, f"{a:.4f}", own, f"{b:.4f}"] for name, (a, own, b) in pairs.items()]
    more = ("kl_div_score", "ce_loss_score", "cossim", "l2_ratio")
    lines += [[f"`{name}`", f"{theirs[name]:.4f}", "", ""] for name in more]
    return table(["SAELens", "its figure", "dsae", "its figure"], lines), good


def main(python, page):
    X = rows()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.save(folder / "train.npy", X[:6000])
        np.save(folder / "test.npy", X[6000:])
        subprocess.run([python, PEERS, "make", folder], check=True)
        lm = written(folder, X[:6000], X[6000:])
        subprocess.run([python, PEERS, "use", folder], check=True)
        lines, bad = [], []
        for way, kept in (("ours", folder / "kept"), ("theirs", folder / "theirs")):
            for path in sorted((folder / way).glob("*.npz")):
                runtime = load(kept / path.stem) if way == "ours" else interop.load(kept / path.stem)
                cells, good = compare(runtime, X[6000:], np.load(path))
                title, _, model = path.stem.partition(": ")
                lines.append([title, "written" if way == "ours" else "read", model, *cells])
                bad += [] if good else [path.stem]
        evaluated, good = evaluation(folder, lm)
        bad += [] if good else ["SAELens' evaluation"]
    asked = "import importlib.metadata as m, sys; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    packages = subprocess.run([python, "-c", asked, *PACKAGES], check=True, capture_output=True, text=True).stdout
    head = ["format", "", "model", "code", "reconstruction", "rows with equal support"]
    versions = f"With dsae {version('dsae')}, {packages.strip()}, onnxruntime {version('onnxruntime')}."
    made = {
        "round trips": f"{table(head, lines)}\n\n{versions}",
        "evaluation": evaluated,
    }
    print(*made.values(), sep="\n\n")
    if bad:
        sys.exit(f"These differ by more than {TOLERANCE:g}, or in what fires: {'; '.join(bad)}")
    text = page.read_text("utf-8")
    for name, content in made.items():
        marks = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        assert marks.search(text), name
        text = marks.sub(lambda _, content=content: f"{content}\n", text)
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
