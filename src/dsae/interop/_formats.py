"""The formats in which models go out and come in: one record each; what reads and writes them is imported when used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from dsae.config import one_of
from dsae.store import Model


@dataclass(frozen=True)
class Format:
    """A format of another library, or a general one.

    Its module has ``write(model, **options)``, which gives names and contents of files, the one last without which a
    folder is no model; or ``read(folder)``, which gives a `dsae.store.Model`; or both. They raise ValueError with what
    a model or a folder has that cannot be said in the other; the public verbs put their names before it.

    Parameters
    ----------
    name : str
        Name that users write.
    title : str
        Name in sentences.
    module : str
        Of this package.
    files : tuple of str
        All that it may write: a folder of nothing else may be written again.
    marks : tuple of str
        Files by which a folder is recognised, any of them.
    settings : str
        The file beside them.
    writes, reads : bool
    """

    name: str
    title: str
    module: str
    files: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    settings: str = ""
    writes: bool = True
    reads: bool = True

    @property
    def _code(self) -> Any:
        return import_module(f"dsae.interop.{self.module}")

    def write(self, model: Model, **options: Any) -> Iterable[tuple[str, bytes]]:
        """Names and contents of the files of a model."""
        return self._code.write(model, **options)

    def read(self, folder: Path) -> Model:
        """The model in a folder."""
        return self._code.read(folder)

    def options(self) -> tuple[str, ...]:
        """What `write` takes besides the model."""
        parameters = signature(self._code.write).parameters.values()
        return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


FORMATS = {
    format.name: format
    for format in (
        Format(
            "saelens",
            "SAELens",
            "_saelens",
            files=("sae_weights.safetensors", "sparsity.safetensors", "cfg.json"),
            marks=("sae_weights.safetensors",),
            settings="cfg.json",
        ),
        Format(
            "sparsify",
            "sparsify",
            "_sparsify",
            files=("sae.safetensors", "cfg.json"),
            marks=("sae.safetensors",),
            settings="cfg.json",
        ),
        Format(
            "dictionary_learning",
            "dictionary_learning",
            "_dictionary_learning",
            marks=("ae.pt",),
            settings="config.json",
            writes=False,
        ),
        Format(
            "sentence_transformers",
            "sentence-transformers",
            "_sentence_transformers",
            marks=("modules.json", "model.safetensors"),
            settings="config.json",
            writes=False,
        ),
        Format("onnx", "ONNX", "_onnx", files=("model.onnx",), marks=("model.onnx",), reads=False),
        Format(
            "dense",
            "dense layers",
            "_dense",
            files=("dense.safetensors", "dense.json"),
            marks=("dense.safetensors",),
            reads=False,
        ),
    )
}
WRITTEN = tuple(name for name, format in FORMATS.items() if format.writes)
READ = tuple(name for name, format in FORMATS.items() if format.reads)


def format_named(name: str, among: tuple[str, ...]) -> Format:
    """The record of a format; an unknown one raises ValueError."""
    one_of("the format", name, among)
    return FORMATS[name]
