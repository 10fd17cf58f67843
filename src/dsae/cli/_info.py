"""The command that describes the installation or a model."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._output import columns, show, text

if TYPE_CHECKING:
    from dsae.sampling import Sampler
    from dsae.store import JointModel, Model

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


@click.command()
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def info(model: str | None, as_json: bool) -> None:
    """Describe MODEL or, without one, the installation."""
    if model is None:
        show(installation(), as_json)
        return
    from dsae import store

    folder = store.fetched(model)
    facts = describe_joint(store.read_joint(folder)) if store.is_joint(folder) else describe(store.read(folder))
    if as_json:
        show(facts, as_json)
        return
    layers = facts.pop("layers")
    show(facts, as_json)
    header = list(layers[0])
    click.echo("\n" + columns([header, *([text(value) for value in layer.values()] for layer in layers)]))


def installation() -> dict[str, Any]:
    """Versions of dsae and its dependencies, and the kernels in use; torch is not imported."""
    from dsae import kernels

    return {
        "dsae": version("dsae"),
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
        "kernels": kernels.isa(),
        "native": kernels.NATIVE,
        "threads": kernels.threads(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe_joint(model: JointModel) -> dict[str, Any]:
    """Size, metrics and layers of a model of several modalities."""
    config = model.config
    described = {name: describe(of) for name, of in model.models.items()}
    layers = [
        {"layer": f"{name}.{layer['layer']}", **{key: value for key, value in layer.items() if key != "layer"}}
        for name, of in described.items()
        for layer in of["layers"]
    ]
    return {
        **{name: of.n_features for name, of in config.modalities.items()},
        "n_components": config.n_components,
        "modality_dropout": config.modality_dropout,
        "density": model.density,
        "nnz": model.nnz,
        **{key: sum(of[key] for of in described.values()) for key in ("bytes_in_memory", "bytes_if_dense")},
        "epochs": len(model.history),
        **_sampler(model.sampler),
        **model.metrics,
        "layers": layers,
    }


def _sampler(sampler: Sampler | None) -> dict[str, Any]:
    """What a model with a sampler says of it: a novelty far below 1 may give away rows."""
    return {} if sampler is None else {"sampler": sampler.kind, "sampler_novelty": sampler.novelty}


def describe(model: Model) -> dict[str, Any]:
    """Size, metrics and layers of a model."""
    from dsae import metrics

    config = model.config
    sparse, dense = (
        metrics.bytes_in_memory(model.layers),
        4 * sum(layer.topology.size + layer.bias.size for layer in model.layers.values()),
    )
    return {
        "n_features": config.n_features,
        "n_components": config.n_components,
        "k": config.k,
        "density": model.density,
        "nnz": model.nnz,
        "block_size": config.block_size,
        "bytes_in_memory": sparse,
        "bytes_if_dense": dense,
        "epochs": len(model.history),
        **_sampler(model.sampler),
        **model.metrics,
        "layers": [
            {
                "layer": name,
                "inputs": layer.topology.shape[1],
                "outputs": layer.topology.shape[0],
                "nnz": layer.topology.nnz,
                "density": layer.topology.density,
                "activation": config.activations[name],
            }
            for name, layer in model.layers.items()
        ],
    }
