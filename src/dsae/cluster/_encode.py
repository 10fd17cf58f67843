"""One callable from a table of rows to a table of codes, for whatever moves tables around."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.config import one_of
from dsae.data import Rows, arrow_rows
from dsae.runtime import Runtime, load

if TYPE_CHECKING:
    import pyarrow as pa

MADE = {"codes": "code", "reconstruct": "reconstruction", "score": "score"}
"""What an `Encode` makes, and how its column is called."""


class Encode:
    """From an Arrow table of rows to one of codes; needs neither torch nor any engine.

    It can be pickled, with the weights in it, so that workers need no model folder: Ray Data's ``map_batches``, Spark's
    ``mapInArrow`` (see `batches`) and Dask call the same object.

    Parameters
    ----------
    model : str, Path or Runtime
        A model folder, or what `dsae.load` gives.
    id_column : str, optional
        Column that names the rows: it comes first in the result, as it is.
    what : {"codes", "reconstruct", "score"}
        Codes in a column ``code``, reconstructions in ``reconstruction``, as lists of equal length, or in ``score`` how
        usual each row is (`Runtime.score_samples`).
    k : int, optional
        Non-zeros per code, as in `Runtime.encode`.
    columns : sequence of str, optional
        The features, in the order of training: columns of numbers, or one of lists of them. By default those that the
        model has names for, or else all columns but the ids and those in ``keep``.
    keep : sequence of str
        More columns that go along as they are.

    Raises
    ------
    ValueError
        If the model has several modalities or reads tables of classes and dates, or ``what`` or ``k`` does not fit it.

    Examples
    --------
    >>> import pyarrow as pa                                                             # doctest: +SKIP
    >>> encode = Encode("model/", id_column="id")                                        # doctest: +SKIP
    >>> encode(pa.table({"id": ["a"], "x0": [0.5], "x1": [1.0]})).column_names           # doctest: +SKIP
    ['id', 'code']
    """

    def __init__(
        self,
        model: str | Path | Runtime,
        id_column: str | None = None,
        *,
        what: str = "codes",
        k: int | None = None,
        columns: Sequence[str] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        one_of("[Encode] what", what, tuple(MADE))
        runtime = load(model) if isinstance(model, (str, Path)) else model
        if not isinstance(runtime, Runtime):
            raise ValueError(
                f"[Encode] The model must be of one modality; {model} has several. Name one of its subfolders, or use "
                "dsae encode without --cluster."
            )
        if runtime.model.table is not None:
            raise ValueError(
                f"[Encode] The model must take rows of numbers; {model} was fitted to a table of classes and dates. "
                "Use dsae encode without --cluster, or fit to what dsae.features.TableRows makes."
            )
        if k is not None and what != "codes":
            raise ValueError(f"[Encode] k is for codes; got k={k} with what={what!r}. Leave it out.")
        self.runtime, self.id_column, self.what, self.k = runtime, id_column, what, k
        self.columns, self.keep = None if columns is None else list(columns), list(keep)
        if k is not None:
            runtime.encode(
                np.zeros((1, runtime.config.n_features), np.float32), k=k
            )  # refuses it here, not on a worker

    def __repr__(self) -> str:
        return f"Encode({self.runtime!r}, id_column={self.id_column!r}, what={self.what!r})"

    @property
    def name(self) -> str:
        """Of the column that it makes."""
        return MADE[self.what]

    def of_rows(self, rows: Rows, sparse: bool = False) -> Any:
        """What is made of rows in memory: ``[n_rows, width]``, or for scores ``[n_rows]``.

        Parameters
        ----------
        rows : ndarray or csr_matrix, shape (n_rows, n_features)
        sparse : bool
            Whether codes are a CSR matrix.
        """
        if self.what == "codes":
            return self.runtime.encode(rows, k=self.k, sparse_output=sparse)
        return self.runtime.reconstruct(rows) if self.what == "reconstruct" else self.runtime.score_samples(rows)

    def __call__(self, table: pa.Table | pa.RecordBatch) -> pa.Table:
        """A table with as many rows, in the same order: the ids, what is kept, and what is made.

        Raises
        ------
        ValueError
            If a column is missing, or the rows are not finite numbers of the model's width.
        """
        import pyarrow as pa

        kept = [name for name in (self.id_column, *self.keep) if name is not None]
        lacking = [name for name in kept if name not in table.schema.names]
        if lacking:
            raise ValueError(
                f"[Encode] The table must have a column {lacking[0]!r}; it has {', '.join(table.schema.names)}."
            )
        columns = {name: table.column(name) for name in kept}
        return pa.table({**columns, self.name: self._made(arrow_rows("Encode", table, self._features(table)))})

    def batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same of record batches one after another, as Spark's ``mapInArrow`` hands them over.

        Lists are of type ``list<float>``, whose lengths may differ: Spark knows no others.
        """
        for batch in batches:
            if batch.num_rows:
                yield from self(batch).cast(self._of_any_length(batch)).to_batches()

    def _of_any_length(self, batch: Any) -> Any:
        import pyarrow as pa

        schema = self(batch.slice(0, 0)).schema
        at = schema.get_field_index(self.name)
        kind = pa.float32() if self.what == "score" else pa.list_(pa.float32())
        return schema.set(at, pa.field(self.name, kind))

    def _features(self, table: Any) -> list[str]:
        if self.columns is not None:
            return self.columns
        names, known = list(table.schema.names), self.runtime.model.feature_names
        if known is not None and set(known) <= set(names):
            return known
        left = [name for name in names if name != self.id_column and name not in self.keep]
        if known is not None and len(left) > 1:
            missing = next(name for name in known if name not in names)
            raise ValueError(
                f"[Encode] The table must have the columns that the model was fitted to; it has no {missing!r}. Name "
                "those that take their places, in the same order, by columns."
            )
        return left

    def _made(self, rows: Rows) -> pa.Array:
        import pyarrow as pa

        if not rows.shape[0]:
            width = self.runtime.config.n_components if self.what == "codes" else self.runtime.config.output_width
            kind = pa.float32() if self.what == "score" else pa.list_(pa.float32(), width)
            return pa.array([], kind)
        made = self.of_rows(rows)
        if made.ndim == 1:
            return pa.array(made)
        return pa.FixedSizeListArray.from_arrays(pa.array(made.reshape(-1)), made.shape[1])
