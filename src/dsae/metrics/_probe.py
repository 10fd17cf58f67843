"""How much of a label a code holds: the accuracy of simple classifiers of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.data import check_rows
from dsae.metrics._classes import classes_of


def probe(
    codes: Any, y: Any, *, n_folds: int = 5, n_neighbors: int = 5, random_state: int = 0
) -> dict[str, float | int]:
    """Accuracy of a linear classifier and of nearest neighbours on codes, each row predicted from other folds.

    A linear probe (Alain & Bengio 2016) says how much of a label can be read off directly, neighbours whether rows of
    one label lie together.

    Parameters
    ----------
    codes : array-like or scipy sparse, shape (n_rows, n_components)
    y : array-like, shape (n_rows,)
        Labels: numbers or texts. Rows without one, where it is None or NaN, are left out.
    n_folds : int
        At least 2; every fold has its share of each label.
    n_neighbors : int
    random_state : int
        Of the folds.

    Returns
    -------
    dict
        ``linear``, the accuracy of a logistic regression on standardised codes (on CSR each column divided by its
        largest value), averaged over the folds; ``knn``, that of ``n_neighbors`` neighbours of the codes as they are;
        ``chance``, the share of the most frequent label; ``n_labels``.

    Raises
    ------
    ValueError
        If there is not a label for each row, fewer than two labels, fewer rows of a label than folds, or fewer rows to
        search than neighbours.

    Warns
    -----
    UserWarning
        About rows without a label.

    Examples
    --------
    >>> y = np.arange(100) % 2
    >>> codes = y[:, None] + 0.1 * np.random.default_rng(0).normal(size=(100, 3))
    >>> probe(codes, y)
    {'linear': 1.0, 'knn': 1.0, 'chance': 0.5, 'n_labels': 2}
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    for name, number in (("n_folds", n_folds), ("n_neighbors", n_neighbors)):
        positive_int(f"[probe] {name}", number)
    if n_folds < 2:
        raise ValueError(f"[probe] There must be at least 2 folds; got {n_folds}.")
    rows: Any = check_rows("probe", codes, missing=None)
    labels, known = classes_of("probe", y, rows.shape[0])
    rows = rows if known.all() else rows[known]
    kinds, number, counts = np.unique(labels[known].astype(str), return_inverse=True, return_counts=True)
    rarest = int(counts.argmin())
    if counts[rarest] < n_folds:
        raise ValueError(
            f"[probe] There must be at least {n_folds} rows of each label, one for each fold; got {counts[rarest]} of "
            f"{str(kinds[rarest])!r}. Leave out rare labels, or lower n_folds."
        )
    n_searched = int(np.sum(counts)) - int(np.ceil(np.sum(counts) / n_folds))
    if n_neighbors > n_searched:
        raise ValueError(
            f"[probe] n_neighbors must be at most the {n_searched} rows outside a fold; got {n_neighbors}. Lower it."
        )
    scaler = MaxAbsScaler() if sp.issparse(rows) else StandardScaler()
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    classifiers = {
        "linear": make_pipeline(scaler, LogisticRegression(max_iter=1000)),
        "knn": KNeighborsClassifier(n_neighbors),
    }
    found = {name: float(cross_val_score(model, rows, number, cv=folds).mean()) for name, model in classifiers.items()}
    return found | {"chance": float(counts.max() / counts.sum()), "n_labels": len(kinds)}
