"""A modality as one column of an Arrow table: lists of equal length, or of indices and values where rows are sparse.

Null is a missing row, while an empty list of a sparse row is a row of zeros.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import known_keys
from dsae.data._batch import Field, Part, Rows
from dsae.data._errors import DamagedError

KEY = b"dsae"
"""Of the metadata of a schema and of its columns."""
FORMAT = {"format": "dsae modalities", "format_version": 1}
NUMBERS = ("uint8", "float16", "float32")
_WIDEST = 1 << 31  # columns of a CSR matrix with indices of 32 bits
_INDEX, _VALUE = "index", "value"
_ARROW_NAMES = {"uint8": "uint8", "halffloat": "float16", "float": "float32"}


@dataclass(frozen=True)
class Modality:
    """How the rows of one modality are kept in a column.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of the values of one row, in C order.
    sparse : bool
    numbers : {"uint8", "float16", "float32"}
        Of dense rows; float32 of sparse ones.
    divisor : int
        What the numbers in the file are divided by.
    """

    name: str
    shape: tuple[int, ...]
    sparse: bool = False
    numbers: str = "float32"
    divisor: int = 1

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return prod(self.shape)

    @property
    def part(self) -> Part:
        """As batches have it."""
        fields = (Field(self.name, 0, self.n_features, self.shape),) if len(self.shape) > 1 else ()
        return Part("csr" if self.sparse else "dense", self.n_features, None, fields)

    @property
    def field(self) -> Any:
        """The column in a schema."""
        import pyarrow as pa

        if self.sparse:
            kind = pa.list_(pa.struct([(_INDEX, pa.int32()), (_VALUE, pa.float32())]))
        else:
            kind = pa.list_(pa.type_for_alias(self.numbers.replace("float16", "halffloat")), self.n_features)
        return pa.field(self.name, kind, metadata={KEY: json.dumps({"shape": self.shape, "divisor": self.divisor})})

    def column(self, rows: Rows, present: np.ndarray) -> Any:
        """Rows as an Arrow array; what stands in missing ones does not matter."""
        import pyarrow as pa

        if self.sparse:
            kept: Any = sp.csr_matrix(rows)[np.flatnonzero(present)]
            ends = np.zeros(len(present) + 1, np.int32)
            np.cumsum(_spread(np.diff(kept.indptr), present), out=ends[1:])
            values = [pa.array(kept.indices.astype(np.int32)), pa.array(kept.data.astype(np.float32))]
            offsets = pa.array(ends, mask=np.append(~present, False))
            return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(values, [_INDEX, _VALUE]))
        values = np.where(present[:, None], rows, 0) * np.float32(self.divisor)
        values = np.rint(values).astype(np.uint8) if self.numbers == "uint8" else values.astype(self.numbers)
        flat: Any = pa.array(values.reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, self.n_features, mask=pa.array(~present))

    def rows(self, column: Any) -> tuple[Rows, np.ndarray]:
        """The reverse of `column`: float32 rows, those that are missing of zeros, and which are there."""
        present = ~np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)
        return (self._sparse_rows(column, present) if self.sparse else self._dense_rows(column, present)), present

    def _dense_rows(self, column: Any, present: np.ndarray) -> np.ndarray:
        values = column.flatten()
        if values.null_count:
            raise DamagedError(f"modality {self.name!r} has a row of which only some values are missing")
        values = values.to_numpy(zero_copy_only=False).reshape(-1, self.n_features).astype(np.float32)
        if self.divisor != 1:
            values /= np.float32(self.divisor)
        if present.all():
            return values
        rows = np.zeros((len(present), self.n_features), np.float32)
        rows[present] = values
        return rows

    def _sparse_rows(self, column: Any, present: np.ndarray) -> sp.csr_matrix:
        from pyarrow import compute

        pc: Any = compute
        lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        indices, values = (part for part in column.flatten().flatten())
        if indices.null_count or values.null_count:
            raise DamagedError(f"modality {self.name!r} has values that are missing in a row")
        indices = indices.to_numpy(zero_copy_only=False)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.n_features:
            raise DamagedError(f"modality {self.name!r} has indices outside 0..{self.n_features - 1}")
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        rows: Any = sp.csr_matrix(
            (values.to_numpy(zero_copy_only=False).astype(np.float32), indices, indptr),
            shape=(len(present), self.n_features),
        )
        rows.sum_duplicates()
        return rows


def modalities_of(schema: Any) -> dict[str, Modality]:
    """The modalities of a file that `dsae prepare` has written, by name; none of any other file.

    Raises
    ------
    DamagedError
        If the file says that it holds some, and describes them wrongly.
    """
    if KEY not in (schema.metadata or {}):
        return {}
    if _json(schema.metadata[KEY]) != FORMAT:
        raise DamagedError("modalities of another version of dsae")
    return {field.name: _modality(field) for field in schema if KEY in (field.metadata or {})}


def _modality(field: Any) -> Modality:
    from pyarrow import types

    told, kind = _json(field.metadata[KEY]), field.type
    try:
        known_keys(f"modality {field.name!r}", told, ("shape", "divisor"))
        shape, divisor = told["shape"], told["divisor"]
        if not isinstance(shape, list) or not 1 <= len(shape) <= 3 or any(type(n) is not int or n < 1 for n in shape):
            raise ValueError(f"its shape is {shape!r:.60}")
        if type(divisor) is not int or not 1 <= divisor <= 1 << 16:
            raise ValueError(f"its divisor is {divisor!r:.60}")
        if prod(shape) >= _WIDEST:
            raise ValueError(f"its rows have {prod(shape)} values")
        sparse = types.is_list(kind)
        numbers = "float32" if sparse else _ARROW_NAMES[str(kind.value_type)]
        found = Modality(field.name, tuple(shape), sparse, numbers, divisor)
        expected = found.field.type
        same = expected.value_type == kind.value_type and (sparse or expected.list_size == kind.list_size)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise DamagedError(f"modality {field.name!r} is described wrongly: {error}") from None
    if not same:
        raise DamagedError(f"modality {field.name!r} must have the type {expected}; it has {kind}")
    return found


def _json(text: bytes) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedError("modalities that are not described") from None
    if not isinstance(found, dict):
        raise DamagedError("modalities that are not described")
    return found


def _spread(lengths: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Lengths of the rows that are there, in the places of these rows."""
    spread = np.zeros(len(present), lengths.dtype)
    spread[present] = lengths
    return spread
