"""Images, sounds and texts in one code: each made from each."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from itertools import permutations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import scipy.sparse as sp

TITLE = "Images, sounds and texts in one code"
ALONE = True  # its times are compared
SEEDS = (0, 1, 2)
CODE, HIDDEN = 64, {"image": (512,), "audio": (512,), "text": (128,)}
WIDE = {name: (2 * widths[0],) for name, widths in HIDDEN.items()}
DENSE = {"density": 1.0, "shrink": "none"}
OURS = {
    "dsae, 10 epochs": {"max_iter": 10},
    "dense twin, 10 epochs": {"max_iter": 10, **DENSE},
    "dsae, 30 epochs": {"max_iter": 30},
    "dense twin, 30 epochs": {"max_iter": 30, **DENSE},
    "dsae, 60 epochs": {"max_iter": 60},
    "dsae, twice as wide, 30 epochs": {"max_iter": 30, "hidden_layer_sizes": WIDE},
    "dsae, half missing": {"max_iter": 10, "missing": 0.5},
}
CCA, LEAST = "PCA + CCA", "PCA + least squares"
PEERS = {"MoPoE, 30 epochs": ("MoPoE", 30)}  # an epoch of MMVAE takes twenty times as long
PAIRS = list(permutations(HIDDEN, 2))
_QUERIES, _PROBED, _SAMPLED = 2000, 8000, 3000
_CORRELATED = (
    10_000  # rows for CCA, of whose codes scikit-learn takes a singular value decomposition for each component
)


def jobs() -> list[dict[str, Any]]:
    """Linear maps and our models by seed; MultiVae's where its environment is there."""
    names = [*OURS, CCA, LEAST, *(PEERS if _peers_python().exists() else ())]
    return [{"method": name, "seed": seed} for seed in SEEDS for name in names]


def measure(job: dict[str, Any], load: Any) -> dict[str, Any]:
    """Train on 60,000 triples, judge what is made of held-out rows."""
    from experiments.triples import judges, triples

    images, sounds = load("mnist"), load("fsdd")
    data = triples(images, sounds)
    known = judges(images, sounds, data.train["text"], data.y)
    name, seed = job["method"], job["seed"]
    if name in OURS:
        model, facts, sampled = _ours(data, dict(OURS[name]), seed)
        classes = np.stack([known[m](model.decode(sampled, m)) for m in HIDDEN])
        facts["agreement"] = float(np.mean((classes == classes[0]).all(0)))
    elif name in PEERS:
        return _peer(name, data, known, seed)
    else:
        model, facts = _linear(data, name, seed)
    real = {m: float(np.mean(known[m](rows) == y)) for m, (rows, y) in data.test.items()}
    return {"real": real, **facts, **_judged(model, data, known)}


def _ours(data: Any, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any], np.ndarray]:
    from dsae import MultimodalAutoencoder
    from dsae.data import JointSource
    from dsae.sampling import fit_sampler

    missing, has = settings.pop("missing", 0.0), None
    if missing:
        rng = np.random.default_rng(1)
        has = {name: rng.random(len(data.y)) >= missing for name in data.train}
        has["image"] |= ~np.any(list(has.values()), axis=0)
    settings = {"density": 0.05, "hidden_layer_sizes": HIDDEN, "learning_rate_init": 3e-3, **settings}
    mm = MultimodalAutoencoder(n_components=CODE, random_state=seed, **settings).fit(JointSource(data.train, has))
    facts = {"weights": mm.nnz_, "fit_seconds": mm.fit_time_}
    return mm.runtime_, facts, fit_sampler(mm.transform(data.train), random_state=0).sample(_SAMPLED, random_state=0)


def _judged(model: Any, data: Any, known: Any) -> dict[str, Any]:
    """Coherence of every pair, retrieval, probes, agreement of samples."""
    found: dict[str, Any] = {}
    codes = {m: model.join(model.latents({m: rows})) for m, (rows, _) in data.test.items()}
    for given, made in PAIRS:
        classes = known[made](model.decode(codes[given], made))
        found[f"{given}>{made}"] = float(np.mean(classes == data.test[given][1]))
    y = data.test["image"][1]
    found["map"] = _average_precision(codes["image"][:_QUERIES], y[:_QUERIES], codes["audio"], data.test["audio"][1])
    found |= {f"probe {name}": value for name, value in _probes(model, data, codes).items()}
    return found


def _average_precision(queries: np.ndarray, classes: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> float:
    """Mean average precision of recordings by the cosine of their codes to an image's."""
    a, b = (z - z.mean(0) for z in (queries, rows))
    a, b = (z / (np.linalg.norm(z, axis=1, keepdims=True) + 1e-9) for z in (a, b))
    hit = labels[np.argsort(-(a @ b.T), axis=1)] == classes[:, None]
    precision = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    return float(((precision * hit).sum(1) / hit.sum(1)).mean())


def _probes(model: Any, data: Any, codes: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy of a linear classifier of codes: of images, of recordings, and of both together."""
    from sklearn.linear_model import LogisticRegression

    some = slice(0, _PROBED)
    images, sounds = data.train["image"][some], data.train["audio"][some]
    both = {"image": data.test["image"][0], "audio": data.test["audio"][0][data.paired]}
    own = {"image": model.join(model.latents({"image": images})), "audio": None, "both": None}
    recorded, spoken = data.recordings
    own["audio"] = model.join(model.latents({"audio": recorded}))
    own["both"] = model.join(model.latents({"image": images, "audio": sounds}))
    labels = {"image": data.y[some], "audio": spoken, "both": data.y[some]}
    tested = {**codes, "both": model.join(model.latents(both))}
    classes = {"image": data.test["image"][1], "audio": data.test["audio"][1], "both": data.test["image"][1]}
    found = {}
    for name, z in own.items():
        mean, unit = z.mean(0), z.std(0) + 1e-6
        fitted = LogisticRegression(max_iter=500).fit((z - mean) / unit, labels[name])
        found[name] = float(fitted.score((tested[name] - mean) / unit, classes[name]))
    return found


def _linear(data: Any, name: str, seed: int) -> tuple[Any, dict[str, Any]]:
    from dsae.comparison import LinearJoint
    from dsae.data import JointSource

    begun = time.perf_counter()
    source = JointSource(data.train)
    model: Any = LinearJoint.fit(source, 60, seed)
    if name == CCA:
        model = _Canonical(model, source)
    return model, {"weights": model.nnz, "fit_seconds": time.perf_counter() - begun}


class _Canonical:
    """Canonical correlations of each modality's PCA with all others', 20 of them, with the interface of a runtime."""

    def __init__(self, linear: Any, source: Any) -> None:
        from sklearn import cross_decomposition

        self._linear, self.nnz = linear, linear.nnz
        codes = linear.latents({name: source.of(name).X[:_CORRELATED] for name in source.parts})
        whole = np.concatenate(list(codes.values()), axis=1)
        self._maps = {
            name: cross_decomposition.CCA(n_components=20, max_iter=500).fit(z, whole) for name, z in codes.items()
        }

    def latents(self, parts: Any) -> Any:
        return self._linear.latents(parts)

    def join(self, latents: Any, has: Any = None) -> np.ndarray:
        return np.mean([self._maps[name].predict(z) for name, z in latents.items()], axis=0)

    def decode(self, codes: np.ndarray, to: str, *, totals: Any = None) -> np.ndarray:
        return self._linear.decode(codes, to)


def _peers_python() -> Path:
    """Of an environment that has MultiVae."""
    given = os.environ.get("DSAE_JOINT_PEERS")
    return Path(given or Path(__file__).parents[2] / "build" / "joint-peers" / "bin" / "python")


def _peer(method: str, data: Any, known: Any, seed: int) -> dict[str, Any]:
    """Trained in its own environment on the same rows; what it makes is judged here."""
    name, epochs = PEERS[method]
    hidden = {modality: widths[0] for modality, widths in HIDDEN.items()}
    with tempfile.TemporaryDirectory() as folder:
        rows = {f"train_{m}": _dense(X) for m, X in data.train.items()}
        rows |= {f"test_{m}": _dense(X) for m, (X, _) in data.test.items()}
        np.savez(Path(folder) / "rows.npz", **rows)
        case = {"model": name, "code": CODE, "hidden": hidden, "epochs": epochs, "seed": seed, "folder": folder}
        script = Path(__file__).parents[1] / "joint_peers.py"
        command = [str(_peers_python()), "-P", str(script), json.dumps(case)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        facts = json.loads(done.stdout.splitlines()[-1])
        made = np.load(Path(folder) / "made.npz")
        pairs = {f"{a}>{b}": float(np.mean(known[b](made[f"{a}_{b}"]) == data.test[a][1])) for a, b in PAIRS}
    return {**facts, **pairs}


def _dense(X: Any) -> np.ndarray:
    return np.asarray(X.toarray() if sp.issparse(X) else X, np.float32)


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Text and a table, means over the seeds."""
    from benchmarks.page.common import table
    from experiments.fits import seeds

    names = list(dict.fromkeys(row["job"]["method"] for row in rows))
    header = ("", "weights", "seconds", *(f"{a[0]}>{b[0]}" for a, b in PAIRS), "mAP", "probe image", "audio", "both")
    lines = []
    for name in names:
        found = [row["result"] for row in rows if row["job"]["method"] == name]
        scores = (*(f"{a}>{b}" for a, b in PAIRS), "map", "probe image", "probe audio", "probe both")
        cells = [_mean(found, key) for key in scores]
        weights, seconds = (fmean(result[key] for result in found) for key in ("weights", "fit_seconds"))
        lines.append((name, f"{weights:,.0f}", f"{seconds:.0f}", *cells))
    real = next(row["result"]["real"] for row in rows if "real" in row["result"])
    agree = [(name, _mean([r["result"] for r in rows if r["job"]["method"] == name], "agreement")) for name in names]
    sampled = ", ".join(f"{name} {value}" for name, value in agree if value)
    told = ", ".join(f"{name} {value:.3f}" for name, value in real.items())
    bars = table(("to be reached", "measured", "bar", ""), [bar.cells() for bar in _bars(rows)])
    text = f"{TEXT.format(judged=told, seeds=seeds(rows))}{table(header, lines, left=1)}\n{bars}"
    if sampled:
        text += f"\nSampled from 100 Gaussians on joint codes, all three modalities are of one class: {sampled}.\n"
    if not set(PEERS) & set(names):
        text += "\nMultiVae is not shown: its environment was not there (`DSAE_JOINT_PEERS`).\n"
    return text


def _bars(rows: list[dict[str, Any]]) -> list[Any]:
    from benchmarks.page.common import Bar

    found = {name: [row["result"] for row in rows if row["job"]["method"] == name] for name in (*OURS, *PEERS)}

    def share(what: str, measured: float, bar: float, at_least: bool = True) -> Bar:
        return Bar(what, 100 * measured, bar, " %", at_least)

    def average(method: str, key: str) -> float:
        return fmean(result[key] for result in found[method])

    def pairs(method: str) -> list[float]:
        return [average(method, f"{a}>{b}") for a, b in PAIRS]

    ours, twin, short, half = "dsae, 30 epochs", "dense twin, 30 epochs", "dsae, 10 epochs", "dsae, half missing"
    behind = max(b - a for a, b in zip(pairs(ours), pairs(twin), strict=True))
    in_time = average(short, "fit_seconds") / average("dense twin, 10 epochs", "fit_seconds")
    bars = [
        share("30 epochs: the worst of the six pairs", min(pairs(ours)), 90),
        share("30 epochs: most that a pair is below the dense twin's", behind, 4, at_least=False),
        share("30 epochs: probe of both", average(ours, "probe both"), 99),
        share("30 epochs: recordings by an image, mAP", average(ours, "map"), 70),
        share("30 epochs: samples of one class, mixture of 100", average(ours, "agreement"), 85),
        share("10 epochs, half missing: the worst of the six pairs", min(pairs(half)), 75),
        Bar("10 epochs: time over the dense twin's", in_time, 0.5, at_least=False),
    ]
    rivals = [method for method in ("dsae, twice as wide, 30 epochs", ours) if found[method]]
    for name, method in ((peer, method) for peer in PEERS if found[peer] for method in rivals):
        ahead = fmean(pairs(method)) - fmean(pairs(name))
        in_time = average(method, "fit_seconds") / average(name, "fit_seconds")
        bars += [
            share(f"{method}: mean of the pairs, above that of {name}", ahead, 0),
            Bar(f"{method}: time over that of {name}", in_time, 1.0, at_least=False),
        ]
    return bars


def _mean(results: list[dict[str, Any]], key: str) -> str:
    values = [result[key] for result in results if key in result]
    return f"{fmean(values):.3f}".lstrip("0") if values else ""


TEXT = """
60,000 MNIST images, each with one of 2,700 recordings of its digit (Free Spoken Digit Dataset, log-mel rows of 32 x
40) and a digit word in one of five languages, half of them misspelt (tf-idf of character 1- to 3-grams, sparse).
Networks of 784-512-64, 1280-512-64 and a text's width-128-64, mirrored, at 5 % of the weights; code 64. *Twice as wide*
has hidden layers of 1024, 1024 and 256, also at 5 %. `i>a` is the share of held-out images from which a sound of their
digit is made, and so on: 10,000 images and texts, 300 recordings of takes that were in no training row. Judges are
classifiers trained on real rows and on smooth ones; on real held-out rows they are right in {judged}.
mAP: recordings found by an image's code. Probe: accuracy of a linear classifier of the code of images, of recordings
and of both. All train on the same 60,000 rows, but CCA on the codes of 10,000; PCA has 60 components for each modality,
CCA 20. "Half missing": half of all modalities were left out in training. MultiVae's MoPoE has the narrower widths,
dense, and 30 epochs as we have; MultiVae's own networks are wider, with sigmoids that do not reach centred rows. MMVAE
is left out: an epoch takes it about twenty times as long as MoPoE. One process, all cores. Means of {seeds}.

"""
