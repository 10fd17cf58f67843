"""Writes rows of several modalities as Parquet, of which each file is as large as memory likes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dsae.config import FORMATS
from dsae.data._batch import Rows
from dsae.data._modalities import ID, LABEL
from dsae.data._modality_columns import FORMAT, KEY, Modality
from dsae.data._packages import check_package

_GROUP_BYTES, _GROUPS = 1 << 25, 16  # of a row group, and row groups of a file


class ModalityWriter:
    """Files ``part-00000.parquet`` and so on, which `open_rows` reads.

    Parameters
    ----------
    folder : Path
        It exists.
    modalities : sequence of Modality
    with_labels : bool
    """

    def __init__(self, folder: Path, modalities: Sequence[Modality], with_labels: bool) -> None:
        check_package(FORMATS["parquet"])
        self._folder, self._modalities, self._with_labels = folder, modalities, with_labels
        self._bytes = self._n_groups = self._n_files = 0
        self._held: list[Any] = []
        self._writer: Any = None

    def __enter__(self) -> ModalityWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._close()

    def write(
        self,
        parts: Mapping[str, Rows],
        present: Mapping[str, np.ndarray],
        ids: Sequence[str],
        labels: Sequence[Any] | None = None,
    ) -> None:
        """Add rows, by modality, with which of them are there."""
        import pyarrow as pa

        columns: dict[str, Any] = {ID: pa.array(list(ids), pa.string())}
        if self._with_labels:
            columns[LABEL] = pa.array([None if label is None else str(label) for label in labels or ()], pa.string())
        columns |= {each.name: each.column(parts[each.name], present[each.name]) for each in self._modalities}
        batch = pa.record_batch(list(columns.values()), schema=self._schema)
        self._held.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    @property
    def _schema(self) -> Any:
        import pyarrow as pa

        named = [pa.field(ID, pa.string()), *([pa.field(LABEL, pa.string())] if self._with_labels else [])]
        return pa.schema([*named, *(each.field for each in self._modalities)], metadata={KEY: json.dumps(FORMAT)})

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        if self._writer is None:
            path = self._folder / f"part-{self._n_files:05}.parquet"
            writer: Any = pyarrow.parquet.ParquetWriter
            self._writer = writer(path, self._schema, use_dictionary=[LABEL], compression="zstd")
        table = pa.Table.from_batches(self._held, self._schema)
        if table.num_rows:
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._n_groups += 1
        self._held, self._bytes = [], 0
        if self._n_groups >= _GROUPS:
            self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer, self._n_groups, self._n_files = None, 0, self._n_files + 1
