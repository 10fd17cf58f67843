"""Texts as rows of weights of words or n-grams, by scikit-learn's vectorisers, and back to the largest weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.utils.validation import check_is_fitted

from dsae.config import in_range, one_of, positive_int, true_or_false
from dsae.features._each import LARGEST_ROW, ItemRows
from dsae.features._items import BadItemError, Notes, check_file, is_missing, items_of, name_of

ANALYZERS = ("word", "char", "char_wb")
WEIGHTS = ("tfidf", "counts", "hashing")
_WORD = r"(?u)\b\w+\b"  # words of one character are words: scikit-learn's own pattern loses digits
_LONGEST_FILE = 1 << 26  # bytes of a text; any bound keeps a wrong file out of memory
_LONGEST_NGRAM = 100


class TextRows(ItemRows):
    """Texts as sparse rows of the weights of their words or n-grams, and rows as the words that weigh most.

    The vectorisers are scikit-learn's. An empty text is a row of zeros; None is a missing text.

    Parameters
    ----------
    weights : {"tfidf", "counts", "hashing"}
        Counts times the inverse document frequency, in rows of unit length; counts; or counts in hashed columns, which
        need no vocabulary, and from which no words come back.
    ngrams : (int, int)
        The shortest and the longest n-grams.
    analyzer : {"word", "char", "char_wb"}
        What n-grams are made of; ``char_wb`` stays within words. A word is a run of letters, digits and underscores.
    max_features : int or None
        Columns: at most, the most frequent n-grams; with hashing exactly (by default 2^18).
    min_df : int or float
        Number or share of the texts in which an n-gram must occur to become a column.
    stop_words : {"english"} or None
        Words that are left out, with ``analyzer="word"``.
    lowercase : bool
    n_words : int
        Most words per text that `inverse_transform` gives.
    on_error : {"raise", "missing"}
        Whether a text that cannot be read raises, or counts as missing.

    Attributes
    ----------
    vocabulary_ : list of str
        The n-gram of each column; not with hashing.
    idf_ : ndarray of float64
        Its inverse document frequency; with tfidf only.

    Examples
    --------
    >>> texts = TextRows(weights="counts").fit(["red apple", "green apple, green pear"])
    >>> rows = texts.transform(["green pear green", "", None])
    >>> rows.toarray().tolist()
    [[0.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    >>> texts.inverse_transform(rows)
    [['green', 'pear'], [], []]
    """

    kind = noun = "text"
    suffix = ".txt"
    _learned = ("vocabulary", "idf")

    def __init__(
        self,
        weights: str = "tfidf",
        *,
        ngrams: tuple[int, int] = (1, 1),
        analyzer: str = "word",
        max_features: int | None = None,
        min_df: int | float = 1,
        stop_words: str | None = None,
        lowercase: bool = True,
        n_words: int = 10,
        on_error: str = "raise",
    ) -> None:
        self.weights = weights
        self.ngrams = ngrams
        self.analyzer = analyzer
        self.max_features = max_features
        self.min_df = min_df
        self.stop_words = stop_words
        self.lowercase = lowercase
        self.n_words = n_words
        self.on_error = on_error

    def fit(self, X: Any, y: Any = None) -> TextRows:
        """Learn the vocabulary.

        Parameters
        ----------
        X : list of str, bytes in UTF-8, or paths
            A string is a text; a `pathlib.Path` is a file that holds one. None stands for a missing text.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a setting is invalid, a text cannot be read, or no n-gram is left to learn from.
        TypeError
            If ``X`` is no list of texts.
        """
        self._check()
        vars(self).pop("vocabulary_", None)
        vars(self).pop("idf_", None)
        if self.weights == "hashing":
            items_of("fit", X, self.noun)
            self._vectorizer = self._made()
            return self
        texts = [text for text in self._texts("fit", X) if text is not None]
        vectorizer: Any = self._made(min_df=self.min_df, max_features=self.max_features)
        try:
            vectorizer.fit(texts)
        except ValueError as error:
            raise ValueError(
                f"[fit] X must hold texts with words to learn from; got {len(texts)} texts ({error})"
            ) from None
        idf = np.asarray(vectorizer.idf_, np.float64) if self.weights == "tfidf" else None
        self._take(vectorizer.get_feature_names_out().tolist(), idf)
        return self

    @property
    def field(self) -> tuple[int, ...]:
        """Number of columns."""
        if self.weights == "hashing":
            return (1 << 18 if self.max_features is None else self.max_features,)
        check_is_fitted(self)
        return (len(self.vocabulary_),)

    def inverse_transform(self, X: Any) -> list[list[str] | None]:
        """The words or n-grams with the largest weights of every row.

        Parameters
        ----------
        X : ndarray or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        list of list of str, or None
            Up to ``n_words`` with a weight above 0, the heaviest first; of equal weights the first in the vocabulary.
            None for a dense row with NaN.

        Raises
        ------
        ValueError
            If ``X`` has not the columns that `transform` gives, or columns are hashed.
        """
        check_is_fitted(self)
        self._check_words("inverse_transform")
        if not sp.issparse(X):
            rows = self._rows_to_invert(X)
            return [None if np.isnan(row).any() else self._heaviest(np.arange(len(row)), row) for row in rows]
        self._check_width(X.shape)
        rows: Any = sp.csr_matrix(X)
        ends = rows.indptr
        return [
            self._heaviest(rows.indices[start:stop], rows.data[start:stop])
            for start, stop in zip(ends[:-1], ends[1:], strict=True)
        ]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The n-grams; with hashing ``hash0`` and so on."""
        if self.weights == "hashing":
            return np.array([f"hash{i}" for i in range(self.n_features)], dtype=object)
        check_is_fitted(self)
        return np.array(self.vocabulary_, dtype=object)

    def to_bytes(self, value: Any) -> bytes:
        """Words as the content of a text file; of n-grams of letters, those that are part of no other one."""
        if isinstance(value, str):
            return f"{value}\n".encode()
        words = list(value)
        if self.analyzer != "word":
            trimmed = dict.fromkeys(filter(None, (word.strip() for word in words)))
            words = [word for word in trimmed if not any(word != other and word in other for other in trimmed)]
        return f"{' '.join(words)}\n".encode()

    def to_dict(self) -> dict[str, Any]:
        """Settings and vocabulary, as JSON can hold them."""
        learned: dict[str, Any] = {}
        if self.weights != "hashing":
            learned["vocabulary"] = list(self.vocabulary_)
        if self.weights == "tfidf":
            learned["idf"] = self.idf_.tolist()
        return super().to_dict() | learned

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "vocabulary_") or (self.weights == "hashing" and hasattr(self, "_vectorizer"))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags

    def _check(self) -> None:
        super()._check()
        one_of("weights", self.weights, WEIGHTS)
        one_of("analyzer", self.analyzer, ANALYZERS)
        true_or_false("lowercase", self.lowercase)
        positive_int("n_words", self.n_words)
        if self.stop_words is not None:
            one_of("stop_words", self.stop_words, ("english",))
        ngrams = self.ngrams
        whole = isinstance(ngrams, (tuple, list)) and len(ngrams) == 2 and all(type(n) is int for n in ngrams)
        if not whole or not 1 <= ngrams[0] <= ngrams[1] <= _LONGEST_NGRAM:
            raise ValueError(f"ngrams must be the shortest and the longest, such as (1, 3); got {ngrams!r:.60}.")
        if self.max_features is not None:
            positive_int("max_features", self.max_features)
            in_range("max_features", self.max_features, 1, LARGEST_ROW)
        if isinstance(self.min_df, int):
            positive_int("min_df", self.min_df)
        else:
            in_range("min_df", self.min_df, 0, 1)

    def _adopt(self, content: Mapping[str, Any]) -> None:
        wanted = {"tfidf": {"vocabulary", "idf"}, "counts": {"vocabulary"}, "hashing": set()}[self.weights]
        given = {name for name in self._learned if content.get(name) is not None}
        if given != wanted:
            raise ValueError(f"text rows of {self.weights} must have {sorted(wanted)}; got {sorted(given)}.")
        if self.weights == "hashing":
            self._vectorizer = self._made()
            return
        words, idf = content["vocabulary"], content.get("idf")
        _check_vocabulary(words)
        if idf is not None:
            plain = isinstance(idf, list) and all(type(value) in (int, float) for value in idf)
            if not plain or len(idf) != len(words) or not all(0 <= value < 1e30 for value in idf):
                raise ValueError("idf must be a list of finite numbers, one for each word of the vocabulary.")
            idf = np.array(idf, np.float64)
        self._take(words, idf)

    def _take(self, words: list[str], idf: np.ndarray | None) -> None:
        """Words and frequencies, as learned now or before: the vectoriser is made from them in either case."""
        vectorizer: Any = self._made(vocabulary={word: column for column, word in enumerate(words)})
        if idf is not None:
            vectorizer.idf_ = idf
            self.idf_ = idf
        self.vocabulary_, self._vectorizer = words, vectorizer

    def _made(self, **more: Any) -> Any:
        how: dict[str, Any] = {
            "analyzer": self.analyzer,
            "ngram_range": tuple(self.ngrams),
            "lowercase": self.lowercase,
            "dtype": np.float64,
        }
        if self.analyzer == "word":
            how |= {"stop_words": self.stop_words, "token_pattern": _WORD}
        if self.weights == "hashing":
            how |= {"n_features": self.n_features, "alternate_sign": False, "norm": None}
            return HashingVectorizer(**how)
        return (TfidfVectorizer if self.weights == "tfidf" else CountVectorizer)(**how, **more)

    def _texts(self, verb: str, X: Any) -> list[str | None]:
        items, found = items_of(verb, X, self.noun), []
        for row, item in enumerate(items):
            try:
                found.append(None if is_missing(item) else _text_of(item))
            except BadItemError as error:
                if self.on_error == "raise":
                    raise ValueError(f"[{verb}] {name_of(item, row, self.noun)} {error}.") from None
                found.append(None)
        return found

    def read(self, item: Any) -> str:
        """A text as it is, from bytes, or from a file; `BadItemError` if it is something else."""
        return _text_of(item)

    def value(self, item: Any, notes: Notes) -> str:
        """The text of an item."""
        return _text_of(item)

    def stacked(self, values: Sequence[Any]) -> sp.csr_matrix:
        """Sparse rows of texts, empty where there is none."""
        texts = ["" if value is None else value for value in values]
        if not texts:
            return sp.csr_matrix((0, self.n_features), dtype=np.float32)
        rows: Any = sp.csr_matrix(self._vectorizer.transform(texts)).astype(np.float32)
        rows.sort_indices()
        return rows

    def _check_words(self, verb: str) -> None:
        if self.weights == "hashing":
            raise ValueError(
                f'[{verb}] Words must be known to come back; weights="hashing" keeps none. Use weights="tfidf" or '
                '"counts".'
            )

    def _heaviest(self, columns: np.ndarray, values: np.ndarray) -> list[str]:
        positive = values > 0
        columns, values = columns[positive], values[positive]
        order = np.lexsort((columns, -values))[: self.n_words]
        return [self.vocabulary_[column] for column in columns[order]]


def _text_of(item: Any) -> str:
    """A text as it is, from bytes, or from a file."""
    if isinstance(item, str):
        return item
    if isinstance(item, os.PathLike):
        path = os.fspath(item)
        if os.path.isfile(path) and not os.path.getsize(path):
            return ""  # an empty text is one
        if check_file(path).stat().st_size > _LONGEST_FILE:
            raise BadItemError(f"must be a text of at most {_LONGEST_FILE >> 20} MiB")
        try:
            with open(path, "rb") as file:
                item = file.read(_LONGEST_FILE)
        except OSError as error:
            raise BadItemError(f"cannot be read: {error.strerror or error}") from None
    if not isinstance(item, (bytes, bytearray)):
        raise BadItemError(f"must be a string, bytes or a pathlib.Path; got {type(item).__name__}")
    try:
        return item.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadItemError(f"must be text in UTF-8; byte {error.start} is {item[error.start]:#04x}") from None


def _check_vocabulary(words: Any) -> None:
    """Raise unless a list from elsewhere holds words, each once, that text can hold."""
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise ValueError("vocabulary must be a list of words that are not empty.")
    if len(words) > LARGEST_ROW or len(set(words)) < len(words):
        raise ValueError(f"vocabulary must hold each word once, and at most {LARGEST_ROW:,} of them.")
    try:
        "".join(words).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"vocabulary must hold whole characters; {error.reason}.") from None
