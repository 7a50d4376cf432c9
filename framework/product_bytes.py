"""How much memory the products of blocks hold, for observers that want to know."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from .binding import Binding
from .block import Block
from .observing import Observers, ProductInfo
from .some_events import Partial
from .store import Store

LOOKED_AT = 8
"""Values of a list that are looked at, at most."""

PLAIN = frozenset((float, int, bool, str, bytes, type(None)))


class Products:
    """Which products are held, and how much each holds; tells of them when they come and go."""

    def __init__(self, observers: Observers) -> None:
        self._product = observers.product
        self._release = observers.release
        #: block -> product -> what was told of it
        self._held: dict[int, dict[str, ProductInfo]] = {}

    def step_ended(self, block: Block, binding: Binding) -> None:
        """A step has ended: what it made is there, and what it was the last to read goes."""
        held, store = self._held.setdefault(block.number, {}), block.store
        for key in binding.products:
            if key in store.columns or key in store.lists:
                before = held.get(key)
                if before and self._release:
                    self._release(before)  # another step of the same module has made it for other events
                nbytes = product_bytes(store, key)
                held[key] = ProductInfo(key, binding.label, block.number, store.size, nbytes, perf_counter())
                if self._product:
                    self._product(held[key])
        for key in binding.step.release:
            self._let_go(held.pop(key, None))

    def block_ended(self, block: Block) -> None:
        """A block has ended, and all that it held is gone."""
        for info in self._held.pop(block.number, {}).values():
            self._let_go(info)

    def _let_go(self, info: ProductInfo | None) -> None:
        if info and self._release:
            self._release(ProductInfo(*info[:5], perf_counter()))


def product_bytes(store: Store, key: str) -> int:
    """The memory that a product of a block holds, bytes: its column, its per-event values, or both."""
    nbytes = 0
    column = store.columns.get(key)
    if column is not None:
        nbytes += column.nbytes
    values = store.lists.get(key)
    if values is not None:
        nbytes += values_bytes(values.known() if isinstance(values, Partial) else values)
    return nbytes


def values_bytes(values: Sequence[Any]) -> int:
    """The memory of a list of values, bytes, estimated from some of them."""
    count = len(values)
    if not count or not isinstance(values, list):
        return 0
    looked_at = [values[place] for place in range(0, count, max(1, count // LOOKED_AT))]
    return 8 * count + sum(map(_value_bytes, looked_at)) * count // len(looked_at)


def _value_bytes(value: Any) -> int:
    size = sys.getsizeof(value)
    if type(value) in PLAIN:
        return size
    data = getattr(value, "nbytes", 0)
    if isinstance(data, int) and getattr(value, "base", None) is not None:
        size += data  # of an array that is a view, getsizeof counts the view alone
    elif isinstance(data, int):
        size = max(size, data)
    if isinstance(value, list | tuple | set):
        size += sum(map(_value_bytes, value))
    elif isinstance(value, dict):
        size += sum(map(_value_bytes, value.values()))
    return size
