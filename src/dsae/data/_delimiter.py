"""What splits lines of text into fields, and lines into records."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")
BLANK = "white space"
_COMMAS = re.compile(r"\s*[+-]?\d+(,\d+)+\s*")
_WORDS = re.compile(rb'"(?:[^"]|"")*+"\S*|\S+')


class Quotes:
    """Whether a record continues on the next line, inside a field that starts with a quotation mark and is not closed.

    Marks within a field (``5" pipe``) mean nothing, as to Python's csv and to Arrow.

    Parameters
    ----------
    delimiter : str
        Empty where it is not known yet.
    """

    def __init__(self, delimiter: str) -> None:
        split = rb",;\t|" if delimiter in ("", BLANK) else re.escape(delimiter.encode())
        quoted, rest = rb'(?:[^"]|"")*+"', rb"[^%b]*+" % split
        field = rb'(?:"%b%b|(?!")%b)' % (quoted, rest, rest)
        more = rb"(?:[%b]%b)*+" % (split, field)
        self._begins = re.compile(field + more)
        self._ends = re.compile(quoted + rest + more)
        self._is_open = False

    def open_after(self, line: bytes) -> bool:
        """Whether a field is open after one more line."""
        end = line.rfind(b'"') + 1  # what comes behind the last mark opens nothing
        if end:
            self._is_open = (self._ends if self._is_open else self._begins).fullmatch(line, 0, end) is None
        return self._is_open


def split_blank(record: bytes) -> list[bytes]:
    """Fields between white space, of which there is some in quotation marks."""
    return record.split() if b'"' not in record else [found[0] for found in _WORDS.finditer(record)]


def split(text: str, delimiter: str) -> list[str]:
    """Fields of a record.

    Raises
    ------
    csv.Error
        If a field is longer than any.
    """
    if delimiter == BLANK:
        text, delimiter = b" ".join(split_blank(text.encode())).decode(), " "
    return [field.strip() for field in next(csv.reader([text], delimiter=delimiter), [])]


def sniffed(name: str, top: Sequence[bytes], preferred: str, decimal: str) -> str:
    """What splits the first lines into equally many fields, more than one; of several, what leaves most numbers.

    Raises
    ------
    ValueError
        If a comma may be either this or the decimal point.
    """
    # Any few; all lines are checked when they are read.
    lines = [record.decode("utf-8", "replace") for record in top[:20]]
    one_name = "," not in lines[0] and not is_number(lines[0].strip())
    if decimal == "." and one_name and len(lines) > 1 and all(map(_COMMAS.fullmatch, lines[1:])):
        raise ValueError(
            f"[read] {name} has one name, {lines[0].strip()!r}, above rows such as {lines[1].strip()!r}. Give "
            "decimal=',' (--decimal) if each is one number, or delimiter=',' (--delimiter) if the first are row ids."
        )
    preferred = ";" if preferred == decimal else preferred  # as spreadsheets of countries with a decimal comma write it
    best, found = -1.0, preferred
    for delimiter in dict.fromkeys((preferred, ",", "\t", ";", "|", BLANK)):
        try:
            rows = [split(line, delimiter) for line in lines]
        except csv.Error:  # a cell of several lines, which this would cut
            continue
        if delimiter == decimal or not are_table(rows):
            continue
        body = [field for row in rows[1:] or rows for field in row]
        share = sum(field in MISSING or is_number(field.replace(",", ".")) for field in body) / len(body)
        if share > best:
            best, found = share, delimiter
    if decimal == "," and best < 0 and "," in lines[0] and '"' not in lines[0] and not _COMMAS.fullmatch(lines[0]):
        raise ValueError(
            f"[read] {name} must be split by another character than the decimal comma; got {lines[0].strip()[:60]!r}. "
            "Name it by delimiter (--delimiter), or leave decimal out."
        )
    return found


def are_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows are equally long; the first may be names without one for the names of rows, which are no numbers."""
    width, n_names = len(rows[-1]), len(rows[0])
    if width < 2 or any(len(row) != width for row in rows[1:]):
        return False
    named = n_names > 1 or rows[0] == [""] or not any(is_number(row[0]) for row in rows)
    return n_names == width or (n_names == width - 1 and named)


def is_range(fields: Sequence[str]) -> bool:
    """Whether they are the names that pandas gives columns, behind its index."""
    return len(fields) > 1 and fields == ["", *map(str, range(len(fields) - 1))]


def is_number(field: str) -> bool:
    """Whether a field is a number, or true or false."""
    try:
        float(field)
    except ValueError:
        return field in ("True", "False", "true", "false")
    return "_" not in field  # Arrow does not read 10_000 as a number
