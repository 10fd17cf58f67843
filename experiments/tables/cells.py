"""Single cells: codes of gene counts for neighbours and clusters, beside PCA, NMF, a dense NB autoencoder and scVI."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, stdev
from typing import Any, NamedTuple

import numpy as np
import sklearn.decomposition
from benchmarks.page.common import table
from experiments.cell_codes import BALANCES, NEIGHBOURS, RESOLUTION

from experiments import cell_codes, cell_errors

TITLE = "Single cells"
SEEDS = range(5)
N_GENES, CODE = 2000, 32
AHEAD = 2.0  # percent by which PCA's neighbours and clusters have to be surpassed
PCA, NMF, DENSE_NB, SCVI = "PCA", "NMF", "dense NB autoencoder, torch", "scVI"
BALANCED_PCA = "PCA, balance chosen"
DEFAULT, CHOSEN = "dsae, nothing but the loss given", "dsae, chosen on validation cells"
COLUMNS = {
    "knn": "k-NN accuracy",
    "leiden_nmi": "Leiden NMI",
    "leiden_ari": "Leiden ARI",
    "kmeans_nmi": "k-means NMI",
    "kmeans_ari": "k-means ARI",
    "explained": "deviance explained",
    "seconds": "seconds",
}
# The first is what the loss alone gives; each is judged with its codes as they are and balanced, and the one with the
# best neighbours and clusters of validation cells is refitted. PCA has the same choice of balances in a row of its own.
CANDIDATES: tuple[dict[str, Any], ...] = (
    {"loss": "multinomial"},
    {"loss": "multinomial", "hidden_layer_sizes": [128], "density": 0.1, "mask": 0.5},
    {
        "loss": "multinomial",
        "hidden_layer_sizes": [128],
        "density": 0.1,
        "mask": [0.0, 0.8],
        "mask_rescale": False,
        "max_iter": 40,
    },
)
PEER = "DSAE_CELLS_PEER"  # the Python that has scVI


class Found(NamedTuple):
    """Codes of the training and the test cells, the test cells' counts rebuilt, and what else there is to tell."""

    codes: np.ndarray
    test_codes: np.ndarray
    rebuilt: np.ndarray
    more: dict[str, Any]


def jobs() -> list[dict[str, Any]]:
    """Every method and seed; scVI where there is a Python that has it."""
    peers = [SCVI] if os.environ.get(PEER) else []
    names = [PCA, BALANCED_PCA, NMF, DENSE_NB, DEFAULT, CHOSEN, *peers, *cell_errors.NAMES]
    return [{"name": name, "seed": seed} for seed in SEEDS for name in names]


def measure(job: dict[str, Any], load: Callable[[str], Any]) -> dict[str, Any]:
    """Accuracies and clusters of the codes, and the deviance of the test cells' counts."""
    from dsae.metrics import deviance_explained

    if job["name"] in cell_errors.NAMES:
        return cell_errors.measure(job["name"], job["seed"], load("cells"))
    data, seed = load("cell_counts"), job["seed"]
    genes = variable_genes(data.train)
    train, test = (rows[:, genes].toarray().astype(np.float32) for rows in (data.train, data.test))
    begun = time.perf_counter()
    found = METHODS[job["name"]](train, data.y_train, test, seed)
    seconds = time.perf_counter() - begun
    labels = np.concatenate([data.y_train, data.y_test])
    return {
        "knn": cell_codes.neighbour_accuracy(found.codes, data.y_train, found.test_codes, data.y_test),
        **cell_codes.clusters(np.concatenate([found.codes, found.test_codes]), labels, seed),
        "explained": deviance_explained(test, found.rebuilt),
        "seconds": seconds,
        **found.more,
    }


def variable_genes(counts: Any) -> np.ndarray:
    """The genes whose logarithms vary most in the training cells, the same for every method."""
    totals = np.asarray(counts.sum(axis=1), np.float64)
    logs = counts.multiply(totals.mean() / totals).tocsr()
    logs.data = np.log1p(logs.data)
    mean, square = (np.asarray(rows.mean(axis=0)).ravel() for rows in (logs, logs.multiply(logs)))
    return np.sort(np.argsort(mean**2 - square, kind="stable")[:N_GENES])


def _logs(counts: np.ndarray, total: float) -> np.ndarray:
    return np.log1p(counts * (total / np.maximum(counts.sum(axis=1, keepdims=True), 1)))


def _linear(decomposition: Any, train: np.ndarray, test: np.ndarray) -> Found:
    """Of logarithms of scaled counts; what it rebuilds is made counts again, with the cell's total."""
    total = float(train.sum(axis=1).mean())
    codes = decomposition.fit_transform(_logs(train, total))
    test_codes = decomposition.transform(_logs(test, total))
    rates = np.expm1(np.maximum(decomposition.inverse_transform(test_codes), 0)) + 1e-3
    rebuilt = rates / rates.sum(axis=1, keepdims=True) * test.sum(axis=1, keepdims=True)
    return Found(codes, test_codes, rebuilt, {})


def _pca(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> Found:
    return _linear(sklearn.decomposition.PCA(CODE, random_state=seed), train, test)


def _balanced_pca(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> Found:
    rows, held_out, types, other_types = _validation(train, labels, seed)
    found = _pca(rows, types, held_out, seed)
    qualities = cell_codes.qualities(found.codes, found.test_codes, types, other_types)
    return _balanced(_pca(train, labels, test, seed), qualities)


def _balanced(found: Found, qualities: list[float]) -> Found:
    """By the best of the balances, whose qualities on validation cells repeat in their order."""
    power = BALANCES[int(np.argmax(qualities)) % len(BALANCES)]
    codes, test_codes = cell_codes.balanced(found.codes, found.test_codes, power)
    more = {**found.more, "balance": power, "validation": qualities}
    return found._replace(codes=codes, test_codes=test_codes, more=more)


def _validation(train: np.ndarray, labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Four fifths of the training cells and the others, and the types of both."""
    from sklearn.model_selection import train_test_split

    return train_test_split(train, labels, test_size=0.2, random_state=seed, stratify=labels)


def _nmf(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> Found:
    how = {"init": "nndsvda", "max_iter": 400, "tol": 1e-3}
    return _linear(sklearn.decomposition.NMF(CODE, random_state=seed, **how), train, test)


def _fitted(settings: dict[str, Any], train: np.ndarray, seed: int) -> Any:
    from dsae import DeepSparseAutoencoder

    return DeepSparseAutoencoder(CODE, random_state=seed, **settings).fit(train)


def _default(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> Found:
    return _ours(CANDIDATES[0], train, test, seed)


def _ours(settings: dict[str, Any], train: np.ndarray, test: np.ndarray, seed: int) -> Found:
    dsa = _fitted(settings, train, seed)
    more = {"settings": settings, "nnz": dsa.nnz_, "density": dsa.density_}
    return Found(dsa.transform(train), dsa.transform(test), dsa.runtime_.reconstruct(test), more)


def _chosen(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> Found:
    """The candidate whose codes have the best neighbours of a fifth of the training cells, and clusters of all."""
    rows, held_out, types, other_types = _validation(train, labels, seed)
    qualities = []
    for settings in CANDIDATES:
        dsa = _fitted(settings, rows, seed)
        qualities += cell_codes.qualities(dsa.transform(rows), dsa.transform(held_out), types, other_types)
    best = CANDIDATES[int(np.argmax(qualities)) // len(BALANCES)]
    return _balanced(_ours(best, train, test, seed), qualities)


def _dense_nb(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> Found:
    """Dense, 128-32-128 with batch normalisation and early stopping, after DCA (Eraslan et al. 2019)."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    width, total = train.shape[1], float(train.sum(axis=1).mean())
    logs = _logs(train, total)
    centre, spread = logs.mean(axis=0), logs.std(axis=0) + 1e-3
    encoder, decoder = (
        nn.Sequential(nn.Linear(n_in, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, n_out))
        for n_in, n_out in ((width, CODE), (CODE, width))
    )
    log_size = nn.Parameter(torch.zeros(width))
    modules = nn.ModuleList([encoder, decoder, nn.ParameterList([log_size])])
    optimizer = torch.optim.Adam(modules.parameters(), lr=1e-3)

    def entering(counts: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((_logs(counts, total) - centre) / spread).astype(np.float32))

    def surprise(x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        rates = decoder(encoder(x)).log_softmax(1) + counts.sum(1, keepdim=True).log()
        chances = torch.distributions.NegativeBinomial(log_size.exp(), logits=rates - log_size)
        return -chances.log_prob(counts).mean()

    held_out = np.random.default_rng(seed).permutation(len(train)) < len(train) // 10
    rows, other = ((entering(part), torch.from_numpy(part)) for part in (train[~held_out], train[held_out]))
    best, kept, since = float("inf"), modules.state_dict(), 0
    while since < 15:
        modules.train()
        for batch in torch.randperm(len(rows[0])).split(128):
            optimizer.zero_grad()
            surprise(rows[0][batch], rows[1][batch]).backward()
            optimizer.step()
        modules.eval()
        with torch.no_grad():
            now = surprise(*other).item()
        since += 1
        if now < best:
            best, since, kept = now, 0, {name: value.clone() for name, value in modules.state_dict().items()}
    modules.load_state_dict(kept)
    with torch.no_grad():
        codes, test_codes = encoder(entering(train)), encoder(entering(test))
        rebuilt = decoder(test_codes).softmax(1).numpy() * test.sum(axis=1, keepdims=True)
    return Found(codes.numpy(), test_codes.numpy(), rebuilt, {"nnz": sum(p.numel() for p in modules.parameters())})


_SCVI_SCRIPT = """
import json, sys, numpy, anndata, scvi
folder, code, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
scvi.settings.seed = seed
cells = {name: anndata.AnnData(numpy.load(f"{folder}/{name}.npy")) for name in ("train", "test")}
scvi.model.SCVI.setup_anndata(cells["train"])
model = scvi.model.SCVI(cells["train"], n_latent=code, gene_likelihood="nb")
model.train(early_stopping=True, accelerator="cpu", enable_progress_bar=False)
for name, some in cells.items():
    numpy.save(f"{folder}/{name}_codes.npy", model.get_latent_representation(some))
numpy.save(f"{folder}/shares.npy", model.get_normalized_expression(cells["test"], return_numpy=True))
print(json.dumps({"epochs": len(model.history["elbo_train"]), "scvi": scvi.__version__}))
"""


def _scvi(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> Found:
    """With its defaults but the width of the code, and early stopping, in the environment that has it."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        np.save(at / "train.npy", train)
        np.save(at / "test.npy", test)
        command = [os.environ[PEER], "-c", _SCVI_SCRIPT, folder, str(CODE), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        codes, test_codes, shares = (np.load(at / f"{name}.npy") for name in ("train_codes", "test_codes", "shares"))
    shares = shares / shares.sum(axis=1, keepdims=True)
    more = json.loads(done.stdout.splitlines()[-1])
    return Found(codes, test_codes, shares * test.sum(axis=1, keepdims=True), more)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], Found]] = {
    PCA: _pca,
    BALANCED_PCA: _balanced_pca,
    NMF: _nmf,
    DENSE_NB: _dense_nb,
    SCVI: _scvi,
    DEFAULT: _default,
    CHOSEN: _chosen,
}


def _by_name(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["job"]["name"], []).append(row["result"])
    return found


def _cell(results: list[dict[str, Any]], key: str) -> str:
    values = [result[key] for result in results]
    digits = {"explained": 3, "seconds": 0}.get(key, 1)
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 and key != "seconds" else ""
    return f"{median(values):.{digits}f}{spread}"


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Text and a table: medians and standard deviations over the seeds."""
    named = _by_name(rows)
    lines = [
        (name, *(_cell(results, key) for key in COLUMNS))
        for name, results in named.items()
        if name not in cell_errors.NAMES
    ]
    text = f"""
2,100 mouse bladder cells of 16 types (Han et al. 2018, as selected by scDeepCluster), a fifth of them for testing, the
{N_GENES:,} genes that vary most in the training cells for every method, codes of {CODE} numbers. k-NN accuracy is that
of {NEIGHBOURS} neighbours of the test cells among the training cells; Leiden (modularity, resolution {RESOLUTION:g})
on the graph of {NEIGHBOURS} neighbours and k-means with the true number of types cluster all cells; all in percent.
The deviance explained is that of the test cells' counts, `dsae.metrics.deviance_explained`. Medians of {len(SEEDS)}
seeds and standard deviations. PCA and NMF see log(1 + count) of counts scaled to one total, and what they rebuild is
turned back. For a *balance* of b, codes are turned into their
principal directions, each divided by its deviation to the power b; 0 leaves codes as they are.

"""
    text += table(("", *COLUMNS.values()), lines)
    chosen = [f"`{json.dumps(result['settings'])}` with {result['balance']:g}" for result in named.get(CHOSEN, [])]
    if chosen:
        options = "; ".join(f"`{json.dumps(settings)}`" for settings in CANDIDATES)
        balances = ", ".join(f"{power:g}" for power in BALANCES)
        counted = "; ".join(f"{name} {chosen.count(name)} times" for name in dict.fromkeys(chosen))
        text += "\nChosen by the mean of k-NN accuracy of a fifth of the training cells, and NMI and ARI of Leiden on "
        text += f"all of them, among {options}, each with balances of {balances}: {counted}. "
        text += "The seconds include the choice.\n"
    if SCVI not in named:
        text += "\nscVI could not be imported where this table was made, and is missing from it.\n"
    return text + cell_errors.render(named)


def verdicts(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Against PCA by as much as it should be, against the best of the others, and by errors."""
    named, lines = _by_name(rows), []
    found = {name: results for name, results in named.items() if name not in (*cell_errors.NAMES, CHOSEN, DEFAULT)}
    spread = stdev([result["leiden_ari"] for result in found[PCA]]) if len(found[PCA]) > 1 else 0.0
    for key, ahead, by in (("knn", AHEAD, f"{AHEAD:g} above"), ("leiden_nmi", AHEAD, f"{AHEAD:g} above")):
        lines.append(_verdict(named, key, PCA, ahead, f", {by}"))
    lines.append(_verdict(named, "leiden_ari", PCA, -spread, ", one deviation below"))
    for key in ("knn", "leiden_nmi", "leiden_ari", "explained"):
        best = max(found, key=lambda name: median(result[key] for result in found[name]))
        lines.append(_verdict(named, key, best))
    return [*lines, *cell_errors.verdicts(named)]


def _verdict(named: dict[str, Any], key: str, other: str, ahead: float = 0.0, by: str = "") -> tuple[str, ...]:
    ours, theirs = (median(result[key] for result in named[name]) for name in (CHOSEN, other))
    digits = 3 if key == "explained" else 1
    outcome = "wins" if ours >= theirs + ahead else "loses"
    return "single cells", COLUMNS[key] + by, f"{ours:.{digits}f}", f"{theirs:.{digits}f}", other, outcome
