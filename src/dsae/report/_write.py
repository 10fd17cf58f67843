"""Write a report to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsae.report._collect import collect
from dsae.report._render import render
from dsae.store import Model


def write_report(
    path: str | Path,
    model: Model,
    X: Any,
    *,
    comparison: Any = None,
    labels: Any = None,
    feature_names: Sequence[str] | None = None,
    image_shape: tuple[int, int] | bool | None = None,
) -> Path:
    """Write one self-contained HTML file about a model and its results on ``X``.

    The file is below 5 MB for any model, without network requests.

    Parameters
    ----------
    path : str or Path
    model : dsae.store.Model
    X : array-like, DataFrame, scipy sparse or an object of another library, shape (n_samples, n_features)
        Rows on which to show it, preferably not the training rows.
    comparison : Comparison, optional
        As `dsae.compare` returns it.
    labels : array-like, shape (n_samples,), optional
        Classes of the rows, whose errors are shown one by one; by default those that travel with ``X``.
    feature_names : sequence of str, optional
        By default the model's own.
    image_shape : tuple of int, False or None
        Height and width if the features are pixels. None recognises square images by themselves; False never does.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, or names or shape do not fit it.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> write_report("report.html", dsa.runtime_.model, X_test)                         # doctest: +SKIP
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"[write_report] {path} cannot be written: it is a folder; name a file in it.")
    if not path.resolve().parent.exists():
        raise FileNotFoundError(
            f"[write_report] {path} cannot be written: {path.resolve().parent} does not exist; make it first."
        )
    options = {"labels": labels, "feature_names": feature_names, "image_shape": image_shape}
    page = render(collect(model, X, comparison=comparison, **options))
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OSError(f"[write_report] {path} cannot be written: {error.strerror}.") from None
    return path
