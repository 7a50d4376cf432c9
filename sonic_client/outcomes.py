"""What became of requests, beside answers and errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Outcomes:
    """What became of the requests of one queue."""

    events: int = 0
    """Events whose rows were handed over, those of no rows included."""
    defaulted_rows: int = 0
    skipped_rows: int = 0
    busy: int = 0
    """Refusals by servers with too much to do."""
    opened: int = 0
    """How often a circuit was opened."""
