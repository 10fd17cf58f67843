"""Tables in text (.csv, .tsv, .txt, .dat): lines are counted here, pyarrow makes numbers of them.

pyarrow.dataset reads a text file only from first to last, and does not know how many rows it has; an epoch in random
order needs blocks of lines that can be read in any order, and their number.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dsae.data._arrow import dense, kind_of, texts_of
from dsae.data._columns import PANDAS_INDEX, choose
from dsae.data._delimiter import BLANK, MISSING, Quotes, are_table, is_number, is_range, sniffed, split, split_blank
from dsae.data._errors import DamagedError, LinesError, explained, from_library, library
from dsae.data._reader import Chunk, Reader, ReadOptions, rows_at_once
from dsae.data._shape import check_shape

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BOM = b"\xef\xbb\xbf"
_SAMPLE_LINES, _SAMPLE_BYTES = 1 << 14, 1 << 22  # looked at when a file is opened; any such number does


class TextReader(Reader):
    """Rows of lines of text; blank lines do not count.

    A part is a block of lines; a compressed file, or one in another encoding than UTF-8, is one part.
    """

    _precision = "float32"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path)
        self._options = options
        self._utf8 = _codec(self.name, options.encoding) == "utf-8"
        packed = path.suffix.lower() in _OPENERS
        self._in_order = packed or not self._utf8
        ending = Path(path.stem if packed else path.name).suffix.lower()
        # Where numpy.savetxt writes # before names; in a .csv it may begin one.
        self._comments = ending in (".txt", ".dat")
        self._delimiter = options.delimiter or ""
        top = self._top()
        filled = [record for record in top if not record.isspace()]
        check_shape(self.name, (len(filled), 1))
        if options.delimiter is None:
            preferred = {".tsv": "\t", ".txt": BLANK, ".dat": BLANK}.get(ending, ",")
            self._delimiter = sniffed(self.name, filled, preferred, options.decimal)
            top = [record for record in top if self._is_row(record)]
        self._names = self._header(top)
        sample = top[self._n_header :]
        check_shape(self.name, (len(sample), len(self._names)))
        self._choose(sample)

    def _top(self) -> list[bytes]:
        """The first lines of names and numbers, and the last comment before them."""
        top, size, self._comment = [], 0, b""
        for _, record in self._records():
            if self._is_row(record):
                top.append(record)
                size += len(record)
            elif not top and record.startswith(b"#"):
                self._comment = record.lstrip(b"#")
            if len(top) >= _SAMPLE_LINES or size >= _SAMPLE_BYTES:
                break
        return top

    def _header(self, top: Sequence[bytes]) -> list[str]:
        """Names of the columns, and how many lines they take."""
        first = self._fields(top[0])
        second = self._fields(top[1]) if len(top) > 1 else []
        commented = self._fields(self._comment) if self._comment else []
        self._n_header, self._has_names = 0, True
        names = any(field not in MISSING and not self._is_number(field) for field in first)
        if names or is_range(first) or top[0].startswith(b'"",'):  # R's names, which it writes in quotation marks
            self._n_header = 1
            self._warn_of_numbers(first)
            # R writes no name above the names of rows
            short = len(second) == len(first) + 1 and (self._options.delimiter or are_table([first, second]))
            return ["", *first] if short else first
        if commented and len(commented) == len(first):
            return commented
        self._has_names = False
        return [str(i) for i in range(len(first))]

    def _warn_of_numbers(self, names: Sequence[str]) -> None:
        """Say that the first line is taken for names where some are numbers, and not 0, 1, 2 or years in order."""
        numbers = [
            float(name.replace(self._options.decimal, "."))
            for name in names
            if name not in MISSING and self._is_number(name) and any(map(str.isdigit, name))
        ]
        in_order = numbers == [0] or (len(numbers) > 1 and set(np.diff(numbers)) == {1})
        if numbers and not in_order:
            warnings.warn(
                f"[read] {self.name} begins with {self._delimiter.join(names)[:60]!r}, which is taken for the names of "
                "columns. If it is a row, write a line of names above it.",
                UserWarning,
                stacklevel=2,
            )

    def _choose(self, sample: Sequence[bytes]) -> None:
        # Columns of one name are told apart by their place behind \0, which no line of text holds.
        keys = [name if name not in self._names[:i] else f"{name}\0{i}" for i, name in enumerate(self._names)]
        table = self._parsed(0, sample, None)
        kinds = {key: kind_of(table.column(i).type) for i, key in enumerate(keys)}
        self._booleans = [i for i in range(len(keys)) if str(table.column(i).type) == "bool"]
        values = {
            key: table.column(i).to_pylist() if kinds[key] in ("whole", "text") else () for i, key in enumerate(keys)
        }
        first, others = keys[0], keys[1:]
        index = first if self._has_names and others and first in PANDAS_INDEX and all(self._names[1:]) else None
        choice = choose(self.name, kinds, values, index, self._options)
        self._features = [keys.index(key) for key in choice.features]
        self._id, self._label = (None if key is None else keys.index(key) for key in (choice.ids, choice.labels))
        self.n_features = len(self._features)
        self._guessed = choice.guessed
        if self._has_names:
            self.column_names = [self._names[i] for i in self._features]
            self.id_name = "" if choice.ids == index == "Unnamed: 0" else choice.ids
            self.label_name = choice.labels

    def _records(self, position: int = 0) -> Iterator[tuple[int, bytes]]:
        """Lines from ``position`` on, in UTF-8, and where each begins; a field in quotes may go over several."""
        with opened_text(self.path, None if self._utf8 else self._options.encoding) as file:
            if position:
                file.seek(position)
            lines: Iterator[bytes] = (line.encode() for line in self._decoded(file))
            if self._utf8:
                lines = from_library(iter(file)) if self._in_order else iter(file)
            held, quotes = [], Quotes(self._delimiter)
            for line in lines:
                if position == 0 and not held and line.startswith(_BOM):  # with which programs of Windows begin UTF-8
                    position, line = len(_BOM), line[len(_BOM) :]
                if held or b'"' in line:
                    held.append(line)
                    if self._delimiter != BLANK and quotes.open_after(line):
                        continue
                    line, held = b"".join(held), []
                yield position, line
                position += len(line)
            if held:
                raise DamagedError(f"the quotation mark that begins a field of {held[0][:60]!r} is not closed")

    def _decoded(self, file: Any) -> Iterator[str]:
        try:
            yield from from_library(iter(file))
        except DamagedError as error:
            if not isinstance(error.__cause__, UnicodeError):
                raise
            raise ValueError(
                f"[read] {self.name} must be text in {self._options.encoding}; got other bytes. Say by encoding "
                "(--encoding) what it is, such as 'latin-1'."
            ) from None

    def _is_row(self, record: bytes) -> bool:
        # Tabs alone are a row of empty cells where tabs split.
        blank = not record.strip(b"\r\n") or (record.isspace() and self._delimiter.encode() not in record)
        return not (blank or (self._comments and record.startswith(b"#")))

    def _rows_of_text(self) -> Iterator[tuple[int, bytes]]:
        rows = (found for found in self._records() if self._is_row(found[1]))
        return islice(rows, self._n_header, None)

    @cached_property
    def _index(self) -> tuple[int, list[int]]:
        """Number of rows, and where each block of them begins."""
        n, offsets, step = 0, [], rows_at_once(self.n_features)
        with explained(self.name, self.format):
            for position, _ in self._rows_of_text():
                if n % step == 0:
                    offsets.append(position)
                n += 1
        self._check_unchanged()
        return n, offsets

    def __len__(self) -> int:
        return self._index[0]

    @property
    def n_parts(self) -> int:
        """Blocks of lines, or one."""
        return 1 if self._in_order else len(self._index[1])

    @property
    def starts(self) -> Sequence[int]:
        """The first row of each block."""
        return [0] if self._in_order else range(0, len(self), rows_at_once(self.n_features))

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        step = rows_at_once(self.n_features)
        first, blocks = part * step, 1
        if self._in_order:
            records, blocks = (record for _, record in self._rows_of_text()), -(-len(self) // step)
        else:
            plain = self._whole_block(part, ids)
            if plain is not None:
                yield plain
                return
            records = (record for _, record in self._records(self._index[1][part]) if self._is_row(record))
        for start in range(first, first + blocks * step, step):
            block = list(islice(records, min(step, len(self) - start)))
            yield self._chunk(start, block, len(block), ids)

    def _exact(self, part: int) -> Iterator[Any]:
        exact = copy(self)  # the index of blocks is shared
        exact._precision = "float64"
        return super(TextReader, exact)._exact(part)

    def _whole_block(self, part: int, ids: bool) -> Chunk | None:
        """A block as it is in the file, not line by line; None where that does not do, or fails."""
        if self._comments or self._delimiter == BLANK:
            return None
        offsets, step = self._index[1], rows_at_once(self.n_features)
        with open(self.path, "rb") as file:
            file.seek(offsets[part])
            content = file.read(offsets[part + 1] - offsets[part] if part + 1 < len(offsets) else -1)
        try:
            return self._chunk(part * step, [content], min(step, len(self) - part * step), ids)
        except (LinesError, DamagedError):
            return None

    def _chunk(self, start: int, block: Sequence[bytes], n_rows: int, ids: bool) -> Chunk:
        wanted = [*self._features, *(i for i in (self._id, self._label) if ids and i is not None)]
        table = self._parsed(start, block, list(dict.fromkeys(wanted)))
        if table.num_rows != n_rows:
            raise DamagedError(f"{n_rows} lines became {table.num_rows} rows")
        rows = dense(table.select([str(i) for i in self._features]))
        named = (None if i is None or not ids else texts_of(table.column(str(i))) for i in (self._id, self._label))
        chunk = Chunk(start, rows, *named)
        if self._guessed is not None and chunk.ids is not None:
            self._guessed.check(start, chunk.ids)
        return chunk

    def _parsed(self, start: int, block: Sequence[bytes], wanted: Sequence[int] | None) -> Any:
        """Lines as a table of Arrow; without ``wanted`` columns, all of them with the types that they seem to have."""
        import pyarrow as pa
        import pyarrow.csv

        names = [str(i) for i in range(len(self._names))]
        if self._delimiter == BLANK:
            block = [b" ".join(split_blank(record)) + b"\n" for record in block]
        content = b"".join(block if block[-1].endswith(b"\n") else [*block, b"\n"])
        try:
            return pyarrow.csv.read_csv(
                pa.py_buffer(content),
                # One block, since Arrow takes the types of columns from the first.
                pyarrow.csv.ReadOptions(column_names=names, use_threads=False, block_size=len(content) + 1),
                pyarrow.csv.ParseOptions(delimiter=" " if self._delimiter == BLANK else self._delimiter),
                self._conversion(wanted),
            )
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise LinesError(f"[read] {self.name} {self._fault(start, block, wanted) or error}") from None

    def _conversion(self, wanted: Sequence[int] | None) -> Any:
        """Of which types the columns are."""
        import pyarrow as pa
        import pyarrow.csv

        numbers = () if wanted is None else [str(i) for i in self._features]
        booleans = {} if wanted is None else {str(i): pa.bool_() for i in self._booleans if i in self._features}
        texts = () if wanted is None else [str(i) for i in wanted if i not in self._features]
        return pyarrow.csv.ConvertOptions(
            column_types={
                **dict.fromkeys(numbers, pa.type_for_alias(self._precision)),
                **dict.fromkeys(texts, pa.string()),
                **booleans,
            },
            include_columns=None if wanted is None else [str(i) for i in wanted],
            null_values=MISSING,
            strings_can_be_null=False,  # an id may be called NA
            decimal_point=self._options.decimal,
        )

    def _fault(self, start: int, block: Sequence[bytes], wanted: Sequence[int] | None) -> str | None:
        """Which row is no row of numbers."""
        for row, record in enumerate(block, start):
            try:
                fields = self._fields(record)
            except UnicodeDecodeError:
                return f"row {row}, counted from 0, must be UTF-8 text. Say by encoding what it is, such as 'latin-1'."
            if len(fields) != len(self._names):
                return f"row {row}, counted from 0, has {len(fields)} fields; the first has {len(self._names)}."
            for column in wanted or ():
                field = fields[column]
                if column in self._features and field not in MISSING and not self._is_number(field):
                    return (
                        f"row {row}, counted from 0, column {column} ({self._names[column]!r}) must be a number; got "
                        f"{field!r}."
                    )
        return None

    def _fields(self, record: bytes) -> list[str]:
        try:
            text = record.decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"[read] {self.name} must be UTF-8 text; byte {error.start} of a line is not. Say by encoding "
                "(--encoding) what it is, such as 'latin-1'."
            ) from None
        with library():
            return split(text, self._delimiter)

    def _is_number(self, field: str) -> bool:
        return is_number(field.replace(self._options.decimal, "."))


def _codec(name: str, encoding: str) -> str:
    try:
        b"a".decode(encoding, "ignore")  # an empty text asks no codec
        return codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(f"[read] {name}: encoding must be one that Python knows; got {encoding!r}.") from None


def opened_text(path: Path, encoding: str | None = None) -> Any:
    """A file that may be compressed, by its ending: its bytes, or text where an encoding is given."""
    opener: Any = _OPENERS.get(path.suffix.lower(), open)
    return opener(path, "rb") if encoding is None else opener(path, "rt", encoding=encoding, newline="\n")
