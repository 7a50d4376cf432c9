"""Work that is handed out, and the columns that it was cut from.

Problem: what `acquire` returns is often what it read, `{"x": event["x"]}`, and what a request needs are the rows of many
events as one array. That array exists: it is the column of which the framework has cut a view for each event. Putting the
views together again costs more than sending them. So the work of events that follow one another says of what store they
are, and who needs arrays joined asks it first. It compares views by identity, at some 20 ns an event; nothing is assumed of
what `acquire` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import Column, Flat, Jagged

if TYPE_CHECKING:
    from .store import Store


class HandedOut(list[Any]):
    """What `acquire` has returned for events that follow one another, from number `first` of the block of a store."""

    __slots__ = ("_first", "_store")

    def __init__(self, work: Iterable[Any], store: Store, first: int) -> None:
        super().__init__(work)
        self._store = store
        self._first = first

    def column_of(self, name: str) -> Column | None:
        """The column of which these are the values by this name, one for each event and in their order; None if there is none.

        Raises what looking into the work raises, if it is no mapping or has no such name.
        """
        return self._store.uncut(map(itemgetter(name), self), self[0][name], self._first, len(self))


def cut_from(value: Any, column: Column) -> bool:
    """Whether the value of an event lies in the memory of a column, which may as well have been made of such values."""
    whole = column.content if isinstance(column, Jagged) else column.values if isinstance(column, Flat) else None
    return whole is not None and isinstance(value, np.ndarray) and np.may_share_memory(value, whole)


def same(some: Iterable[Any], others: Iterable[Any]) -> bool:
    """Whether these are the very same objects, as far as the shorter goes."""
    return all(map(is_, some, others))
