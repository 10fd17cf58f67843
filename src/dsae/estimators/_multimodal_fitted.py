"""What a fitted autoencoder of several modalities does with rows and codes, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from dsae import store
from dsae.config import loss_of, one_of, positive_int
from dsae.estimators._base import DSAEstimator
from dsae.estimators._distributed import writes
from dsae.estimators._joint_samples import JointSamplingMixin
from dsae.estimators._judges import Judge
from dsae.estimators._modalities import rows_at_hand
from dsae.metrics import Reconstruction, classes_of, coherence, rows_at_once
from dsae.report import JointTable, joint_table
from dsae.runtime import JointRuntime


class FittedMultimodal(JointSamplingMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, DSAEstimator):
    """The verbs of an estimator whose ``runtime_`` holds a trained joint model."""

    runtime_: JointRuntime

    def transform(self, X: Any) -> np.ndarray:
        """Joint codes of rows, from whatever modalities they have.

        Parameters
        ----------
        X : dict of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities; see `MultimodalAutoencoder`.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no model yet.
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        check_is_fitted(self)
        return self.runtime_.codes(self.runtime_.source("transform", X))

    def inverse_transform(self, X: Any, to: str | None = None) -> Any:
        """Rows from codes.

        Parameters
        ----------
        X : array-like or csr_matrix, shape (n_samples, n_components)
        to : str, optional
            The modality; by default a dict of all.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features of the modality), or dict of them
        """
        check_is_fitted(self)
        if to is not None:
            return self.runtime_.decode(X, to)
        return {name: self.runtime_.decode(X, name) for name in self.runtime_.names}

    def reconstruct(self, X: Any) -> dict[str, np.ndarray]:
        """All modalities from the joint code of what rows have.

        Parameters
        ----------
        X : dict of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities; see `MultimodalAutoencoder`.

        Returns
        -------
        dict of str to ndarray of float32, shape (n_samples, n_features of the modality)
            Counts have the total of their row, or where it lacks them the mean total of training.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no model yet.
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        check_is_fitted(self)
        return self.runtime_.reconstruct(X)

    def translate(self, X: Any, to: str) -> np.ndarray:
        """Rows of one modality from whatever other modalities rows have.

        Parameters
        ----------
        X : dict of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities; see `MultimodalAutoencoder`.
        to : str
            The modality to make.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features of the modality)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no model yet.
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        check_is_fitted(self)
        return self.runtime_.translate(X, to)

    def render(self, name: str, rows: Any) -> Any:
        """Pictures, sounds, texts or a table of rows of a modality.

        Parameters
        ----------
        name : str
            The modality.
        rows : array-like or csr_matrix, shape (n_samples, n_features of the modality)
            As `translate` makes them.

        Returns
        -------
        list, ndarray or data frame
            What the ``inverse_transform`` of the modality's encoder gives.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no model yet.
        ValueError
            If the modality is unknown or has no encoder, or rows have another width.
        """
        check_is_fitted(self)
        return self.runtime_.render(name, rows)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean over the modalities of ``X`` of the share of their variance (or deviance) that is explained.

        Each is rebuilt from all that the rows have, and measured on those that have it.

        Parameters
        ----------
        X : dict of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities; see `MultimodalAutoencoder`.
        y : ignored

        Returns
        -------
        float
            1 is perfect, 0 as good as the mean.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no model yet.
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        check_is_fitted(self)
        source = self.runtime_.source("score", X)
        losses = {name: loss_of(self.runtime_.modalities[name].loss) for name in source.parts}
        errors = {name: Reconstruction(metrics=[loss.score_metric]) for name, loss in losses.items()}
        for batch in source.batches(rows_at_once(source)):
            has = batch.present or {}
            codes = self.runtime_.join(self.runtime_.latents(batch.parts), has)
            for name, found in errors.items():
                at = has.get(name, np.ones(batch.n_rows, bool))
                if at.any():
                    rows = batch.parts[name][at]
                    found.update(rows, self.runtime_.decode(codes[at], name, totals=rows))
        return float(np.mean([loss.score(errors[name].result()[loss.score_metric]) for name, loss in losses.items()]))

    def fvu_table(self, X: Any) -> dict[str, dict[str, float]]:
        """The unexplained share of the variance of every modality, made from every set of modalities.

        Returns
        -------
        dict of str to dict of str to float
            ``table["image+text"]["audio"]`` is the error of audio made from images and texts; 1 is that of the mean.
        """
        check_is_fitted(self)
        return self.runtime_.fvu_table(X)

    def table(self, X: Any, n: int = 6, seed: int = 0) -> JointTable:
        """A picture of inputs and outputs: some rows, and what is made of each modality alone and of all together.

        Parameters
        ----------
        X : the same as for `transform`
        n : int
            Rows, at least 1, drawn by ``seed``.
        seed : int

        Returns
        -------
        dsae.report.JointTable
            A notebook shows it; ``save(path)`` writes a page.

        Raises
        ------
        ValueError
            If ``n`` is no whole number of at least 1, or rows are refused as by `transform`.
        """
        check_is_fitted(self)
        positive_int("[table] n", n)
        return joint_table(self.runtime_, self.runtime_.source("table", X), n, seed)

    def coherence(
        self, X: Any, y: Any, *, judges: Mapping[str, Callable[[Any], np.ndarray]] | None = None
    ) -> dict[str, dict[str, float]]:
        """How often what is made of a row is of the row's class.

        Parameters
        ----------
        X : the same as for `transform`
        y : array-like, shape (n_samples,)
            Classes of the rows.
            Rows without one, where it is None or NaN, are left out.
        judges : dict of str to callable, optional
            From rows of a modality to their classes, such as `judges` makes of the rows of training; by default those
            that it makes of ``X``.

        Returns
        -------
        dict of str to dict of str to float
            ``matrix["image"]["text"]`` is the share of images from which a text of the right class is made;
            ``matrix["real"]`` how often judges are right about rows themselves, those of ``X`` by five-fold
            cross-validation.

        Raises
        ------
        ValueError
            If ``y`` has not one entry for each row or only one class, or a judge is of an unknown modality.

        Warns
        -----
        UserWarning
            About rows without a class.
        """
        check_is_fitted(self)
        source = self.runtime_.source("coherence", X)
        for name in judges or ():
            one_of("[coherence] every modality in judges", name, self.runtime_.names)
        classes, known = classes_of("coherence", y, len(source), 2 if judges is None else 1)
        if judges is None:
            own = {name: Judge(source, name, classes, known) for name in source.parts}
            found = coherence(self.runtime_, source, classes, own, known=known)
            return {**found, "real": {name: judge.accuracy() for name, judge in own.items()}}
        real = {}
        for name in source.parts:
            if name in judges:
                at = known[source.has(name)]
                told = np.asarray(judges[name](rows_at_hand(source, name)[at]))
                real[name] = float(np.mean(told == classes[source.has(name)][at])) if at.any() else float("nan")
        return {**coherence(self.runtime_, source, classes, judges, known=known), "real": real}

    def judges(self, X: Any, y: Any) -> dict[str, Callable[[Any], np.ndarray]]:
        """Classifiers of real rows of each modality, for `coherence`.

        Parameters
        ----------
        X : the same as for `transform`
        y : array-like, shape (n_samples,)
            Classes of the rows.

        Returns
        -------
        dict of str to callable
            Logistic regressions of up to 10,000 rows: from rows to their classes.

        Raises
        ------
        ValueError
            If ``y`` has not one entry for each row, or the rows of a modality are all of one class.
        """
        check_is_fitted(self)
        source = self.runtime_.source("judges", X)
        classes, known = classes_of("judges", y, len(source))
        return {name: Judge(source, name, classes, known) for name in source.parts}

    def save(self, folder: str | Path) -> Path:
        """Write the model folder, atomically; see docs/format.md. `dsae.load` reads it without torch.

        Parameters
        ----------
        folder : str or Path
            A joint model there is replaced.

        Returns
        -------
        Path
            Of the folder.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no model yet.
        ValueError
            If something that is not a joint model is in the way, or the model diverged.
        OSError
            If the folder cannot be written.
        """
        check_is_fitted(self)
        return store.write_joint(folder, self.runtime_.model) if writes(self) else Path(folder)

    @property
    def _n_features_out(self) -> int:
        return self.runtime_.config.n_components
