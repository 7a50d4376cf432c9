"""Per-event values that only some events of a block have, or need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .columns import Flat, Jagged
from .errors import ProductNotFound


class Partial(dict[int, Any]):
    """Per-event values of a product that only some events of the block have, by number of the event.

    Many products are never read by event, so what is put is only noted, and laid out when the first value is asked for.
    """

    __slots__ = ("_noted", "key")

    def __init__(self, key: str, values: Sequence[Any], index: Sequence[int]) -> None:
        super().__init__()
        self.key = key
        self._noted: list[tuple[Sequence[int], Sequence[Any]]] = [(index, values)]

    def add(self, values: Sequence[Any], index: Sequence[int]) -> None:
        """Note the values of the events named by `index`."""
        self._noted.append((index, values))

    def laid_out(self) -> Partial:
        """This, with all that was noted in its place."""
        for index, values in self._noted:
            self.update(zip(index, values, strict=True))
        self._noted.clear()
        return self

    def known(self) -> list[Any]:
        """The values, in no order."""
        return list(self.laid_out().values())

    def __missing__(self, number: int) -> Any:
        if self._noted:
            return self.laid_out()[number]
        raise ProductNotFound(
            f"product '{self.key}' was not made for this event: its path had ended before its module, or its module failed"
        )


class Sparse(dict[int, Any]):
    """Per-event values of a column of which a step reads few events: made at once, others when asked for."""

    __slots__ = ("_column",)

    def __init__(self, column: Flat | Jagged, index: Sequence[int]) -> None:
        super().__init__(zip(index, column.per_event_of(index), strict=True))
        self._column = column

    def __missing__(self, number: int) -> Any:
        value = self[number] = self._column.one(number)
        return value
