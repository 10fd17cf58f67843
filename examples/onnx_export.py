"""A deep model of digits as an ONNX file: the same codes from onnxruntime, and how much room sparse weights take.

pip install "dsae[train,onnx]" onnxruntime
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import dsae.interop
from dsae import DeepSparseAutoencoder

epochs = int(os.environ.get("DSAE_EPOCHS", "60"))
train, test = train_test_split(load_digits().data.astype(np.float32) / 16, random_state=0)
dsa = DeepSparseAutoencoder(
    64, hidden_layer_sizes=(512,), code_activation="topk", k=8, density=0.05, max_iter=epochs, random_state=0
)
dsa.fit(train)

with tempfile.TemporaryDirectory() as folder:
    path = dsae.interop.save(dsa, Path(folder, "onnx"), to="onnx") / "model.onnx"
    session = onnxruntime.InferenceSession(path)
    size = path.stat().st_size
codes, rebuilt = session.run(["code", "reconstruction"], {"rows": test})

runtime = dsa.runtime_
dense = 4 * sum(layer.topology.size + layer.bias.size for layer in runtime.layers.values())
print(f"model.onnx: {size / 2**20:.2f} MiB, {dense / 2**20:.2f} with every weight of the dense model")
print(f"largest difference of a code: {np.abs(codes - runtime.encode(test)).max():.1e}")
print(f"largest difference of a reconstruction: {np.abs(rebuilt - runtime.reconstruct(test)).max():.1e}")
print(f"the same latents fire: {np.array_equal(codes > 0, runtime.encode(test) > 0)}")
