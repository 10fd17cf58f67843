"""A dictionary by a trainer of the field, in a process of its own: python -P peers.py SETTINGS, settings as JSON.

It imports that trainer alone, since the peers live in another environment, and prints what it measured as JSON. Without
-P a peer that imports a library called datasets would find the file beside this one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Codes = Callable[[Tensor], tuple[Tensor, Tensor]]  # codes, and what they reconstruct


def saelens(case: dict[str, Any]) -> tuple[Callable[[Tensor], None], Codes]:
    """SAELens' trainer at its default settings but the rate, for topk and batchtopk codes."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    shape = {"d_in": case["features"], "d_sae": case["latents"], "k": case["k"]}
    if case["code"] == "batchtopk":
        sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shape))
    else:
        sae = TopKTrainingSAE(TopKTrainingSAEConfig(**shape))
    how = SAETrainerConfig(10**9, case["batch"], lr=case["rate"], lr_end=case["rate"])
    trainer = SAETrainer(how, sae, iter(()))

    def step(x: Tensor) -> None:
        trainer.maybe_reset_sparsity()
        trainer.step(x)
        trainer.n_training_steps += 1

    def codes(x: Tensor) -> tuple[Tensor, Tensor]:
        z = sae.encode(x)
        if case["code"] == "batchtopk":  # in use it has the threshold that training found
            z = z.new_zeros(z.shape) + sae.encode_with_hidden_pre(x)[1]
            z = z * (z > sae.topk_threshold)
        return z, sae.decode(z)

    return step, codes


def sparsify(case: dict[str, Any]) -> tuple[Callable[[Tensor], None], Codes]:
    """What sparsify's trainer does with one batch of activations, with its optimizer "adam"."""
    from sparsify import SparseCoder, SparseCoderConfig

    coder = SparseCoder(case["features"], SparseCoderConfig(num_latents=case["latents"], k=case["k"]))
    optimizer = torch.optim.Adam(coder.parameters(), lr=case["rate"])
    idle = torch.zeros(case["latents"], dtype=torch.int64)

    def step(x: Tensor) -> None:
        coder.set_decoder_norm_to_unit_norm()
        out = coder(x, dead_mask=idle > 10_000_000)
        (out.fvu + out.auxk_loss / 32).backward()
        idle.add_(x.shape[0])
        idle[out.latent_indices.flatten()] = 0
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()

    def codes(x: Tensor) -> tuple[Tensor, Tensor]:
        top = coder.encode(x)
        z = torch.zeros(x.shape[0], case["latents"]).scatter(1, top.top_indices, top.top_acts)
        return z, coder.decode(top.top_acts, top.top_indices)

    return step, codes


TRAINERS = {"SAELens": saelens, "sparsify": sparsify}


def main(case: dict[str, Any]) -> None:
    """Train on the rows of a folder, and measure on the others there."""
    torch.manual_seed(case["seed"])
    torch.set_num_threads(1)
    rows = {name: np.load(Path(case["folder"]) / f"{name}.npy") for name in ("train", "validation", "test")}
    step, codes = TRAINERS[case["trainer"]](case)
    rng, X, begun = np.random.default_rng(case["seed"]), rows["train"], time.process_time()
    for _ in range(case["epochs"]):
        order = rng.permutation(len(X))
        for start in range(0, len(X), case["batch"]):
            step(torch.from_numpy(X[order[start : start + case["batch"]]]))
    found: dict[str, float] = {"seconds": time.process_time() - begun}
    with torch.no_grad():
        for name in ("validation", "test"):
            x = torch.from_numpy(rows[name])
            z, back = codes(x)
            found[f"{name}_fvu"] = ((x - back).square().sum() / (x - x.mean(0)).square().sum()).item()
            found |= {"l0": (z != 0).sum(1).double().mean().item(), "dead": (z == 0).all(0).double().mean().item()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
