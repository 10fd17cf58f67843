"""The other libraries' side of `make interop`: it runs in an environment of theirs and knows nothing of dsae.

``python peers.py make FOLDER`` trains models of each library on FOLDER/train.npy and saves them under FOLDER/theirs,
and puts activations of a small language model of random weights beside them. ``python peers.py use FOLDER`` loads what
lies under FOLDER/ours and has SAELens evaluate it. What each model computes of FOLDER/test.npy lies beside it as .npz.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

D, F, K, STEPS = 64, 256, 8, 300
PROMPTS, CONTEXT = 64, 32
HOOK = "blocks.1.hook_resid_pre"


def batches(X):
    rng = np.random.default_rng(0)
    while True:
        yield torch.as_tensor(X[rng.integers(len(X), size=256)])


def put(path, code, rebuilt):
    np.savez(f"{path}.npz", code=code.detach().numpy(), rebuilt=rebuilt.detach().numpy())


def of_saelens(folder, X):
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)
    with torch.no_grad():
        code = sae.encode(X)
        return code, sae.decode(code)


def of_sparsify(folder, X):
    from sparsify import SparseCoder

    sae = SparseCoder.load_from_disk(folder)
    with torch.no_grad():
        values, indices, _ = sae.encode(X)
        code = torch.zeros(len(X), sae.num_latents).scatter_(1, indices, values)
        return code, sae.decode(values, indices)


def make_saelens(folder, X, test):
    import sae_lens as sl
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    size = {"d_in": D, "d_sae": F}
    cases = {
        "standard": sl.StandardTrainingSAEConfig(**size, l1_coefficient=0.5, apply_b_dec_to_input=False),
        "standard, b_dec subtracted": sl.StandardTrainingSAEConfig(**size, apply_b_dec_to_input=True),
        "topk": sl.TopKTrainingSAEConfig(**size, k=K, rescale_acts_by_decoder_norm=False, apply_b_dec_to_input=False),
        "topk, rescaled": sl.TopKTrainingSAEConfig(**size, k=K, rescale_acts_by_decoder_norm=True),
        "topk, whitened": sl.TopKTrainingSAEConfig(**size, k=K, normalize_activations="covariance_whitening"),
        "batchtopk": sl.BatchTopKTrainingSAEConfig(**size, k=K),
        "batchtopk, scaled": sl.BatchTopKTrainingSAEConfig(
            **size, k=K, normalize_activations="expected_average_only_in"
        ),
        "matryoshka": sl.MatryoshkaBatchTopKTrainingSAEConfig(**size, k=K, matryoshka_widths=[64, F]),
        "jumprelu": sl.JumpReLUTrainingSAEConfig(**size, l0_coefficient=0.05),
    }
    for name, cfg in cases.items():
        torch.manual_seed(0)
        sae = sl.TrainingSAE.from_dict(cfg.to_dict())
        steps = {"total_training_samples": 256 * STEPS, "train_batch_size_samples": 256, "lr": 1e-3, "lr_end": 1e-3}
        plan = SAETrainerConfig(**steps, n_batches_for_norm_estimate=20)
        SAETrainer(cfg=plan, sae=sae, data_provider=batches(X)).fit()
        sae.save_inference_model(folder / f"saelens: {name}")
        put(folder / f"saelens: {name}", *of_saelens(folder / f"saelens: {name}", test))
    # as an analysis keeps it: loaded, folded, saved
    sae = sl.SAE.load_from_disk(folder / "saelens: topk, rescaled", fold_W_dec_norm=True)
    sae.save_model(folder / "saelens: topk, folded")
    put(folder / "saelens: topk, folded", *of_saelens(folder / "saelens: topk, folded", test))


def make_sparsify(folder, X, test):
    from sparsify import SparseCoder, SparseCoderConfig

    for name, normalized in (("topk", False), ("topk, unit atoms", True)):
        torch.manual_seed(0)
        sae = SparseCoder(D, SparseCoderConfig(num_latents=F, k=K, normalize_decoder=normalized))
        sae.b_dec.data = torch.as_tensor(X.mean(axis=0))
        optimiser = torch.optim.Adam(sae.parameters(), 1e-3)
        for _, batch in zip(range(STEPS), batches(X), strict=False):
            optimiser.zero_grad()
            sae(batch).fvu.backward()
            optimiser.step()
            if normalized:
                sae.set_decoder_norm_to_unit_norm()
        sae.save_to_disk(folder / f"sparsify: {name}")
        put(folder / f"sparsify: {name}", *of_sparsify(folder / f"sparsify: {name}", test))


def make_dictionary_learning(folder, X, test):
    from dictionary_learning import trainers
    from dictionary_learning.dictionary import AutoEncoderNew
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.utils import load_dictionary

    size = {"steps": STEPS, "activation_dim": D, "dict_size": F, "layer": 0, "lm_name": "none", "device": "cpu"}
    nested = {"k": K, "group_fractions": [0.25, 0.75], "threshold_start_step": 20}
    cases = {
        "AutoEncoder": (trainers.StandardTrainer, {"l1_penalty": 0.1, "sparsity_warmup_steps": 10}),
        "AutoEncoderTopK": (trainers.TopKTrainer, {"k": K, "threshold_start_step": 20}),
        "BatchTopKSAE": (trainers.BatchTopKTrainer, {"k": K, "threshold_start_step": 20}),
        "MatryoshkaBatchTopKSAE": (MatryoshkaBatchTopKTrainer, nested),
        "JumpReluAutoEncoder": (trainers.JumpReluTrainer, {"target_l0": 8.0, "lr": 1e-3, "sparsity_warmup_steps": 10}),
    }
    made = {}
    for name, (kind, more) in cases.items():
        torch.manual_seed(0)
        trainer = kind(**size, **more, warmup_steps=10)
        for step, batch in zip(range(STEPS), batches(X), strict=False):
            trainer.update(step, batch)
        made[name] = (trainer.ae, trainer.config)
    ae = AutoEncoderNew(D, F)  # of which no trainer has the class in its configuration
    optimiser = torch.optim.Adam(ae.parameters(), 1e-3)
    for _, batch in zip(range(STEPS), batches(X), strict=False):
        optimiser.zero_grad()
        (ae(batch) - batch).square().mean().backward()
        optimiser.step()
    made["AutoEncoderNew"] = (ae, {"dict_class": "AutoEncoderNew"})
    for name, (ae, config) in made.items():
        place = folder / f"dictionary_learning: {name}"
        place.mkdir(parents=True)
        torch.save(ae.state_dict(), place / "ae.pt")
        (place / "config.json").write_text(json.dumps({"trainer": config, "buffer": {}}))
        ae, _ = load_dictionary(str(place), "cpu")
        with torch.no_grad():
            code = ae.encode(test)
            put(place, code, ae.decode(code))


def make_sentence_transformers(folder, X, test):
    from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

    torch.manual_seed(0)
    sae = SparseAutoEncoder(D, F, k=K, k_aux=16, normalize=False)
    sae.pre_bias.data = torch.as_tensor(X.mean(axis=0))
    optimiser = torch.optim.Adam(sae.parameters(), 1e-3)
    for _, batch in zip(range(STEPS), batches(X), strict=False):
        optimiser.zero_grad()
        found = sae({"sentence_embedding": batch})
        (found["decoded_embedding_k"] - batch).square().mean().backward()
        optimiser.step()
    place = folder / "sentence_transformers: SparseAutoEncoder"
    place.mkdir(parents=True)
    sae.save(str(place))
    sae = SparseAutoEncoder.load(str(place))
    with torch.inference_mode():
        code = sae({"sentence_embedding": test.clone()})["sentence_embedding"]
        put(place, code, sae.decode(code))


def language_model():
    """Two layers of random weights, and tokens that it may read."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    size = {"n_layers": 2, "d_model": D, "n_ctx": CONTEXT, "d_head": 16, "n_heads": 4, "d_vocab": 97, "act_fn": "gelu"}
    model = HookedTransformer(HookedTransformerConfig(**size, seed=0, device="cpu"))
    tokens = np.random.default_rng(0).integers(97, size=(5 * PROMPTS, CONTEXT))
    return model, torch.as_tensor(tokens)


def make_activations(folder):
    model, tokens = language_model()
    with torch.no_grad():
        found = model.run_with_cache(tokens, names_filter=[HOOK])[1][HOOK].reshape(-1, D).numpy()
    np.save(folder / "activations_test.npy", found[: PROMPTS * CONTEXT])
    np.save(folder / "activations_train.npy", found[PROMPTS * CONTEXT :])


def evaluate(folder):
    """SAELens' evaluation of an export, on the language model from which the rows are."""
    from datasets import Dataset
    from sae_lens import SAE
    from sae_lens.evals import get_eval_everything_config, run_evals
    from sae_lens.training.activation_scaler import ActivationScaler
    from sae_lens.training.activations_store import ActivationsStore

    model, tokens = language_model()
    sae = SAE.load_from_disk(folder / "lm")
    data = Dataset.from_dict({"tokens": tokens[:PROMPTS].tolist()})
    store = ActivationsStore.from_sae(model, sae, data, streaming=False, store_batch_size_prompts=16, total_tokens=1)
    n = PROMPTS // 16
    plan = get_eval_everything_config(16, n, n)
    metrics, latents = run_evals(sae, store, model, ActivationScaler(), plan, exclude_special_tokens=False)
    (folder / "evaluation.json").write_text(json.dumps({"metrics": metrics, "latents": latents}))


def main(what, folder):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    X, test = np.load(folder / "train.npy"), torch.as_tensor(np.load(folder / "test.npy"))
    if what == "make":
        for make in (make_saelens, make_sparsify, make_dictionary_learning, make_sentence_transformers):
            make(folder / "theirs", X, test)
        make_activations(folder)
        return
    for place in sorted(path for path in (folder / "ours").iterdir() if path.is_dir()):
        of = of_saelens if place.name.startswith("saelens") else of_sparsify
        put(place, *of(place, test))
    evaluate(folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
