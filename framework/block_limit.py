"""How large blocks are."""

from __future__ import annotations

from .binding import Binding
from .module import ExternalWork
from .reader import BlockLimit
from .schedule import Schedule


def block_limit(schedule: Schedule, bindings: list[Binding], wanted: int | str) -> BlockLimit:
    """How large blocks are: what the user says, or what fits the modules and the memory.

    External work wants blocks that are small enough to overlap and large enough to share requests; columnar modules want all
    they can get; per-event modules do not mind. Bytes are limited in any case: one event may hold megabytes.
    """
    external = any(isinstance(step.module, ExternalWork) for step in schedule.steps)
    columnar = any(binding.columnar for binding in bindings if binding.kind != "output")
    events = (5000 if columnar else 2000) if external else (1 << 40 if columnar else 2000)
    if isinstance(wanted, int):
        return BlockLimit(wanted, None)
    return BlockLimit(events, (8 if external else 64) << 20)
