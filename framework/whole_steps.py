"""Steps that are not cut into pieces: columnar ones, and those in a thread."""

from __future__ import annotations

from time import perf_counter

from .binding import Binding
from .block import Block

FOREVER = float("inf")


def call_whole(binding: Binding, block: Block) -> tuple[object, float]:
    """Call a columnar method once, or a per-event one for all its events; in a thread perhaps."""
    assert block.view is not None
    begin = perf_counter()
    if binding.columnar:
        result: object = binding.call_columns(block, block.todo)
    else:
        result = sweep = binding.sweep(binding.function, block.store.selected(block.todo))
        try:
            sweep.advance(FOREVER)
        except Exception as error:
            place = sweep.place
            raise binding.failure(block, place if block.todo is None else block.todo[place], error) from error
    return result, perf_counter() - begin
