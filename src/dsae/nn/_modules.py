"""Lists of modules of one type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from torch import nn

M = TypeVar("M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[M]):
    """A `torch.nn.ModuleList` whose type tells what it holds."""

    if TYPE_CHECKING:

        def __init__(self, modules: Iterable[M]) -> None: ...

        @overload
        def __getitem__(self, idx: int) -> M: ...
        @overload
        def __getitem__(self, idx: slice) -> Modules[M]: ...
        def __getitem__(self, idx: int | slice) -> M | Modules[M]: ...
        def __iter__(self) -> Iterator[M]: ...
