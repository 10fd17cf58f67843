"""The transformer of mixed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from dsae.config import in_range, one_of, positive_int
from dsae.features._coding import Coder, with_moments
from dsae.features._describe import Choices, described
from dsae.features._encoder import Encoder
from dsae.features._filled import filled, holes
from dsae.features._frames import as_given, as_table
from dsae.features._schema import MISSING, Column, Schema
from dsae.features._values import plain


class TableRows(Encoder):
    """Rows of numbers from a table of numbers, classes, dates and truth values, and the table back from such rows.

    Numbers, and dates as numbers of days, get mean 0 and variance 1 (`sklearn.preprocessing.StandardScaler`). A column
    of classes becomes a column of zeros and ones for each class (`sklearn.preprocessing.OneHotEncoder`), called
    ``colour=red``; rare classes share one, ``colour=(other)``. Truth values become 0 and 1. Text that differs in every
    row, or nearly so, is left out, as are columns without values; ``left_out_`` names them and says why.

    Parameters
    ----------
    columns : sequence of str, optional
        The columns to learn from; by default all.
    exclude : sequence of str
        Columns to leave out.
    id_column, label_column : str, optional
        Columns that name rows and classes of rows, which are left out, too; by default the first column of text that
        differs in every row, or of ascending numbers with a name such as ``id``, names the rows.
    min_frequency : int or float
        Number or share of the rows below which a class is rare; at least two rows where it is a share.
    max_categories : int
        Most classes of a column with a feature of their own; all others are rare.
    missing : {"mask", "fill"}
        What becomes of missing values: NaN in all features of the column, which means unknown to
        ``DeepSparseAutoencoder(missing="mask")``, or the mean, in features of classes zeros.

    Attributes
    ----------
    schema_ : Schema
        What each column is.
    left_out_ : dict of str to str
        Why columns were left out, by name.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"colour": ["red", "blue", "red", "blue"], "age": [30, 40, 50, 60]})
    >>> rows = TableRows().fit(table)
    >>> list(rows.get_feature_names_out())
    ['colour=blue', 'colour=red', 'age']
    >>> rows.inverse_transform(rows.transform(table)).equals(table)
    True
    """

    kind = "table"
    _hole = "NaN where a value is missing"

    def __init__(
        self,
        *,
        columns: Any = None,
        exclude: Any = (),
        id_column: str | None = None,
        label_column: str | None = None,
        min_frequency: int | float = 0.01,
        max_categories: int = 64,
        missing: str = "mask",
    ) -> None:
        self.columns = columns
        self.exclude = exclude
        self.id_column = id_column
        self.label_column = label_column
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.missing = missing

    def fit(self, X: Any, y: Any = None) -> TableRows:
        """Learn what the columns of a table are.

        Parameters
        ----------
        X : DataFrame of pandas or polars, pyarrow.Table, or array-like, shape (n_samples, n_columns)
            Whatever offers ``__arrow_c_stream__``, too. Columns of an array are called ``x0``, ``x1`` and so on.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is invalid, a named column is not there, a number is infinite, or nothing is left to learn
            from.
        """
        choices = self._choices()
        table, container, dtypes = as_table("fit", X)
        columns = tuple(replace(column, dtype=dtypes.get(column.name)) for column in described(table, choices))
        columns = with_moments(columns, table)
        schema = Schema(columns, container, self.missing)
        if not schema.n_features:
            raise ValueError(
                f"[fit] The table must have columns whose values differ; got n_samples = {table.num_rows}, and no use "
                f"for {_reasons(columns)}."
            )
        self._adopt(schema)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Rows of numbers.

        Parameters
        ----------
        X : the same as for `fit`
            Columns may come in another order, others beside them are ignored, and those that become no feature may be
            missing.

        Returns
        -------
        ndarray of float32, or of float64 where numbers came as such, shape (n_samples, n_features)
            NaN where a value is missing, with ``missing="mask"``. Classes that `fit` did not see count as rare ones,
            or have zeros in all features of the column where there were none.

        Raises
        ------
        ValueError
            If a column is missing or of another kind.
        """
        check_is_fitted(self)
        table, container, _ = as_table("transform", X)
        return self._transformed(table, container)

    def _transformed(self, table: Any, container: str) -> np.ndarray:
        self._check_columns(table, container)
        try:
            return self._coder.rows(table)
        except ValueError as error:
            raise ValueError(f"[transform] {error}") from None

    def inverse_transform(self, X: Any) -> Any:
        """The table that rows of numbers mean, in what held the one of `fit`, with the types of its columns.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            A class is the one with the largest number, whole numbers and dates are rounded, numbers of few decimals to
            these, and a truth value is true above 0.5; NaN gives a missing value.

        Returns
        -------
        DataFrame, pyarrow.Table or ndarray
            With the columns that rows are made of, in their order; joined classes as ``(other)``. A pandas frame has
            the index of ``X`` where ``X`` is one, too, and else counts its rows.

        Raises
        ------
        ValueError
            If ``X`` has not the columns that `transform` gives.
        """
        found = as_given(self.to_arrow(X), self.schema_)
        if self.schema_.container == "pandas" and hasattr(X, "iloc"):
            found.index = X.index
        return found

    def impute(self, X: Any, model: Any) -> Any:
        """The table with a model's guesses in its holes, and all else as it was.

        Parameters
        ----------
        X : the same as for `transform`
        model : estimator or dsae.Runtime
            With ``missing="mask"``, fitted to the rows that `transform` gives.

        Returns
        -------
        the same kind of thing as ``X``
            With its index, its order of columns and their types, and with columns that become no feature. A guess may
            be ``(other)`` where classes are joined.

        Raises
        ------
        ValueError
            If ``missing="fill"``, which leaves no hole to see, or the model was not fitted to such rows.
        TypeError
            If ``model`` cannot impute.

        Examples
        --------
        >>> import pandas as pd
        >>> from dsae import DeepSparseAutoencoder
        >>> table = pd.DataFrame({"age": [30, 40, None, 60] * 5, "wage": [3.5, 4.0, 5.0, None] * 5})
        >>> rows = TableRows().fit(table)
        >>> dsa = DeepSparseAutoencoder(1, hidden_layer_sizes=(4,), max_iter=1, missing="mask", random_state=0)
        >>> whole = rows.impute(table, dsa.fit(rows.transform(table)))
        >>> bool((whole["age"].isna().sum() == 0) and (whole["age"][0] == 30))
        True
        """
        check_is_fitted(self)
        if self.schema_.missing != "mask":
            raise ValueError('[impute] TableRows must have missing="mask", so that the model sees what is not known.')
        if not hasattr(model, "impute"):
            raise TypeError(
                f"[impute] model must be an autoencoder or what dsae.load gives; got {type(model).__name__}. Of a "
                "pipeline pass its last step."
            )
        table, container, _ = as_table("impute", X)
        guessed = getattr(model, "runtime_", model).impute(np.asarray(self._transformed(table, container)))
        return filled(X, table, container, self.to_arrow(guessed))

    def to_arrow(self, X: Any) -> Any:
        """`inverse_transform` as a `pyarrow.Table`."""
        import pyarrow as pa

        check_is_fitted(self)
        return pa.table(self._coder.columns(self._rows_to_invert(X, np.float64)))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the features: a column's own, or ``column=class``."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        return np.array(self.schema_.feature_names, dtype=object)

    def present(self, X: Any) -> np.ndarray:
        """Which rows of a table have a value in any column that becomes a feature, bool ``[n_samples]``."""
        return np.asarray(self.known(X).any(axis=1))

    def known(self, X: Any) -> np.ndarray:
        """Which cells have a value, in the columns that become features, bool ``[n_samples, n_columns]``."""
        check_is_fitted(self)
        table, container, _ = as_table("known", X)
        self._check_columns(table, container)
        return np.column_stack([~holes(plain(table.column(column.name))) for column, _ in self._coder.used])

    @property
    def field(self) -> tuple[int, ...]:
        """Number of features."""
        check_is_fitted(self)
        return (self.schema_.n_features,)

    def to_dict(self) -> dict[str, Any]:
        """What it has learned, as JSON can hold it."""
        check_is_fitted(self)
        return {"kind": "table", **self.schema_.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TableRows:
        """The reverse of `to_dict` without its kind, from an untrusted file."""
        return cls.of(Schema.from_dict(content))

    @classmethod
    def of(cls, schema: Schema) -> TableRows:
        """The transformer of a schema, as `Runtime.table` holds it."""
        left_out = [column.name for column in schema.columns if column.kind == "left out"]
        found = cls(
            exclude=tuple(left_out),
            id_column=schema.named("ids"),
            label_column=schema.named("labels"),
            missing=schema.missing,
        )
        found._adopt(schema)
        return found

    def _choices(self) -> Choices:
        one_of("missing", self.missing, MISSING)
        positive_int("max_categories", self.max_categories)
        if isinstance(self.min_frequency, int):
            positive_int("min_frequency", self.min_frequency)
        else:
            in_range("min_frequency", self.min_frequency, 0, 1)
        for name in ("columns", "exclude"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a list of names; got {getattr(self, name)!r}.")
        columns = None if self.columns is None else tuple(self.columns)
        return Choices(
            columns, tuple(self.exclude), self.id_column, self.label_column, self.min_frequency, self.max_categories
        )

    def _adopt(self, schema: Schema) -> None:
        self.schema_ = schema
        self.left_out_ = {column.name: column.why for column in schema.columns if column.kind == "left out"}
        self.n_features_in_ = len(schema.columns)
        vars(self).pop("feature_names_in_", None)
        if schema.container != "array":
            self.feature_names_in_ = np.array([column.name for column in schema.columns], dtype=object)
        self._coder = Coder(schema)

    def _check_columns(self, table: Any, container: str) -> None:
        if container == "array" and self.schema_.container == "array" and table.num_columns != self.n_features_in_:
            got, wanted = table.num_columns, self.n_features_in_
            raise ValueError(f"X has {got} features, but TableRows is expecting {wanted} features as input.")
        missing = [column.name for column, _ in self._coder.used if column.name not in table.column_names]
        if missing:
            lacked = ", ".join(map(repr, missing[:5]))
            raise ValueError(f"[transform] The table must have the columns of fit; it lacks {lacked}.")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _reasons(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.name!r} ({column.why or 'always the same'})" for column in columns)
