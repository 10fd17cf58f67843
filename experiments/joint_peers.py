"""A multimodal VAE of MultiVae, in an environment of its own: python -P joint_peers.py SETTINGS, settings as JSON.

It reads rows.npz in a folder, writes made.npz with each modality made from each other one, and prints what it took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.data.utils import DatasetOutput
from multivae.models import MMVAE, MMVAEConfig, MoPoE, MoPoEConfig
from multivae.models.base import BaseDecoder, BaseEncoder, ModelOutput
from multivae.trainers import BaseTrainer, BaseTrainerConfig

MODELS = {"MoPoE": (MoPoE, MoPoEConfig), "MMVAE": (MMVAE, MMVAEConfig)}
NAMES = ("image", "audio", "text")


class Encoder(BaseEncoder):
    """As wide as ours; MultiVae's own has two hidden layers of 512 for every modality."""

    def __init__(self, n: int, hidden: int, code: int) -> None:
        BaseEncoder.__init__(self)
        self.latent_dim = code
        self.hidden = torch.nn.Sequential(torch.nn.Linear(n, hidden), torch.nn.ReLU())
        self.embedding, self.log_var = torch.nn.Linear(hidden, code), torch.nn.Linear(hidden, code)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Means and logarithms of variances."""
        h = self.hidden(x)
        return ModelOutput(embedding=self.embedding(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    """As wide as ours; MultiVae's own ends in a sigmoid, which centred rows are out of reach of."""

    def __init__(self, n: int, hidden: int, code: int) -> None:
        BaseDecoder.__init__(self)
        self.layers = torch.nn.Sequential(torch.nn.Linear(code, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, n))

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """Means of rows."""
        return ModelOutput(reconstruction=self.layers(z))


def main(case: dict) -> None:
    """Train and translate."""
    torch.manual_seed(case["seed"])
    folder = Path(case["folder"])
    rows = np.load(folder / "rows.npz")
    train = {name: torch.from_numpy(rows[f"train_{name}"]) for name in NAMES}
    centre = {name: (X.mean(0), X.std().clamp(min=1e-6)) for name, X in train.items()}
    train = {name: (X - centre[name][0]) / centre[name][1] for name, X in train.items()}
    dims = {name: (X.shape[1],) for name, X in train.items()}
    model_of, config_of = MODELS[case["model"]]
    config = config_of(
        n_modalities=3,
        latent_dim=case["code"],
        input_dims=dims,
        decoders_dist=dict.fromkeys(NAMES, "normal"),
        uses_likelihood_rescaling=True,
    )
    widths = {name: (dims[name][0], case["hidden"][name], case["code"]) for name in NAMES}
    encoders, decoders = ({name: of(*widths[name]) for name in NAMES} for of in (Encoder, Decoder))
    model = model_of(config, encoders=encoders, decoders=decoders)
    how = BaseTrainerConfig(
        output_dir=str(folder),
        num_epochs=case["epochs"],
        learning_rate=1e-3,
        per_device_train_batch_size=256,
        no_cuda=True,
    )
    begun = time.perf_counter()
    BaseTrainer(model, train_dataset=MultimodalBaseDataset(train), training_config=how).train()
    seconds = time.perf_counter() - begun
    model.eval()
    made = {}
    with torch.no_grad():
        for given in NAMES:
            x = (torch.from_numpy(rows[f"test_{given}"]) - centre[given][0]) / centre[given][1]
            for to in (name for name in NAMES if name != given):
                pieces = []
                for piece in x.split(1000):
                    blank = {name: torch.zeros(len(piece), *dims[name]) for name in NAMES}  # encoded, and left out
                    both = DatasetOutput(data={**blank, given: piece})
                    z = model.encode(both, cond_mod=[given], return_mean=True)
                    pieces.append(model.decode(z, modalities=[to])[to])
                made[f"{given}_{to}"] = (torch.cat(pieces) * centre[to][1] + centre[to][0]).numpy()
    np.savez(folder / "made.npz", **made)
    print(json.dumps({"weights": sum(p.numel() for p in model.parameters()), "fit_seconds": seconds}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
