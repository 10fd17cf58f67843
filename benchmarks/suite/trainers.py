"""A trainer of dictionaries in a process of its own: python trainers.py NAME SETTINGS, settings as JSON.

Says ``ready``, then for each line ``n`` it gets, takes n steps and says how many seconds of the clock and of the
processor they took. It imports its own trainer only, since the peers live in another environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

Step = Callable[[Tensor], None]


def saelens(case: dict[str, Any]) -> Step:
    """One step of the loop of SAELens' trainer, at its default settings: sparse activations fail on the CPU (6.54)."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    shape = {"d_in": case["features"], "d_sae": case["latents"], "k": case["k"]}
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(**shape))
    how = SAETrainerConfig(10**9, case["batch"], lr=case["rate"], lr_end=case["rate"])
    trainer = SAETrainer(how, sae, iter(()))

    def step(x: Tensor) -> None:
        trainer.maybe_reset_sparsity()
        trainer.step(x).loss.item()
        trainer.n_training_steps += 1

    return step


def sparsify(case: dict[str, Any]) -> Step:
    """What sparsify's trainer does with one batch of activations, with its optimizer "adam"."""
    from sparsify import SparseCoder, SparseCoderConfig

    coder = SparseCoder(case["features"], SparseCoderConfig(num_latents=case["latents"], k=case["k"]))
    optimizer = torch.optim.Adam(coder.parameters(), lr=case["rate"])
    idle = torch.zeros(case["latents"], dtype=torch.int64)

    def step(x: Tensor) -> None:
        coder.set_decoder_norm_to_unit_norm()
        out = coder(x, dead_mask=idle > 10_000_000)
        loss = out.fvu + out.auxk_loss / 32
        loss.backward()
        idle.add_(x.shape[0])
        idle[out.latent_indices.flatten()] = 0
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return step


def plain(case: dict[str, Any]) -> Step:
    """The loop that one would write: dense products, fused Adam, atoms of unit norm."""
    d, F = case["features"], case["latents"]
    atoms = torch.nn.functional.normalize(torch.randn(F, d), dim=1)
    encoder, decoder = torch.nn.Parameter(atoms.clone()), torch.nn.Parameter(atoms.clone())
    shift, bias = torch.nn.Parameter(torch.zeros(d)), torch.nn.Parameter(torch.zeros(F))
    optimizer = torch.optim.Adam([encoder, decoder, shift, bias], lr=case["rate"], fused=True)

    def step(x: Tensor) -> None:
        z = (x - shift) @ encoder.T + bias
        best, at = z.topk(case["k"], dim=1, sorted=False)
        code = torch.zeros_like(z).scatter(1, at, best.relu())
        loss = (code @ decoder + shift - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            decoder.div_(decoder.norm(dim=1, keepdim=True))
        loss.item()

    return step


def dsae(case: dict[str, Any], density: float, turn: Iterator[int]) -> None:
    """A fit whose steps wait for their turns: batches, penalties and the ends of epochs are counted."""
    from dsae import DeepSparseAutoencoder

    model = DeepSparseAutoencoder(
        case["latents"],
        hidden_layer_sizes=(),
        code_activation="topk",
        k=case["k"],
        density=density,
        shrink="random",
        max_iter=10**6,
        batch_size=case["batch"],
        random_state=0,
    )
    model.fit(np.load(case["data"]), on_step=lambda row: next(turn), every=case["steps"])


def turns(steps: int) -> Iterator[int]:
    """Says what the steps since the last turn took, and waits for the next."""
    begun = None
    for line in sys.stdin:
        if begun is not None:
            raise RuntimeError("a turn within a turn")
        if int(line) != steps:
            raise ValueError(f"turns have {steps} steps; got {line!r}")
        begun = time.perf_counter(), time.process_time()
        yield steps
        print(json.dumps([time.perf_counter() - begun[0], time.process_time() - begun[1]]), flush=True)
        begun = None
    os._exit(0)


def main(name: str, case: dict[str, Any]) -> None:
    """Serve turns."""
    torch.manual_seed(0)
    torch.set_num_threads(case["threads"])
    turn = turns(case["steps"])
    if name.startswith("dsae"):
        print("ready", flush=True)
        return dsae(case, float(name.split()[-1]), turn)
    made = {
        "SAELens": lambda: saelens(case),
        "sparsify": lambda: sparsify(case),
        "torch": lambda: plain(case),
    }
    step, X, rng = made[name](), np.load(case["data"]), np.random.default_rng(0)
    print("ready", flush=True)
    order, at = rng.permutation(len(X)), 0
    for steps in turn:
        for _ in range(steps):
            if at + case["batch"] > len(X):
                order, at = rng.permutation(len(X)), 0
            step(torch.from_numpy(X[order[at : at + case["batch"]]]))
            at += case["batch"]
    return None


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
