"""The points of a scan: what is varied, what was measured there, and how both are kept."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

AXES = ("clients", "batch", "block", "streams", "latency_s")
TITLES = {
    "clients": "Clients",
    "batch": "Rows of a request at most",
    "block": "Events of a block",
    "streams": "Blocks in flight of a client",
    "latency_s": "Added latency, s",
}


def said(axis: str, value: Any) -> str:
    """A value of an axis, as `4 clients` or `+10 ms`; None: what the workflow says."""
    if axis == "latency_s":
        return f"+{1e3 * value:g} ms"
    if axis in ("batch", "block"):
        return f"{axis} {'auto' if value is None else value}"
    return f"{'auto' if value is None else value} {axis.removesuffix('s') if value == 1 else axis}"


@dataclass(frozen=True, slots=True)
class Point:
    """One setting. None: what the workflow says."""

    clients: int
    batch: int | None = None
    """Rows of a request at most."""
    block: int | None = None
    """Events of a block."""
    streams: int | None = None
    """Blocks in flight of one client."""
    latency_s: float = 0.0
    """Added to each answer of the server."""
    repeat: int = 1

    @property
    def series(self) -> tuple[Any, ...]:
        """All but the number of clients and the repeat: points that belong to one line."""
        return (self.batch, self.block, self.streams, self.latency_s)

    def __str__(self) -> str:
        named = [name for name in AXES[1:4] if getattr(self, name) is not None]
        named = ["clients", *named, *(["latency_s"] if self.latency_s else [])]
        parts = [said(name, getattr(self, name)) for name in named]
        return ", ".join([*parts, f"repeat {self.repeat}"] if self.repeat > 1 else parts)

    @property
    def slug(self) -> str:
        """A name for its files."""
        return "-".join(
            f"{name}{'auto' if value is None else f'{value:g}'}"
            for name, value in zip("cbkslr", asdict(self).values(), strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was seen at a point, all clients together, within the common window."""

    window_s: float
    events: float
    """Those of the window; a block that is in it with a part of its time counts with that part."""
    throughput: float
    """events/s"""
    event_s: float
    """Time of an event in a client: clients / throughput."""
    requests: int
    """Requests that were answered in the window."""
    rows_per_request: float
    latency_median_s: float
    latency_p99_s: float
    failures: int
    """Attempts that failed, in the window."""
    client_busy: float
    """Part of the time for which a client did not wait, mean over clients and their whole jobs."""
    server_busy: float | None
    """Part of the time for which the servers computed, of one server; None where they say nothing."""
    server_s: float | None
    """What the servers computed for a request, mean."""
    skew_s: float
    """Between the first and the last client's first block."""


@dataclass(frozen=True, slots=True)
class Result:
    """A point with what was measured, or with why it failed."""

    point: Point
    measured: Measured | None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        measured = asdict(self.measured) if self.measured is not None else None
        return {"point": asdict(self.point), "measured": measured, "error": self.error}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Result:
        """From plain data."""
        measured = data["measured"]
        return cls(Point(**data["point"]), Measured(**measured) if measured is not None else None, data["error"])


def grid(
    clients: Sequence[int],
    batch: Sequence[int | None] = (None,),
    block: Sequence[int | None] = (None,),
    streams: Sequence[int | None] = (None,),
    latency_s: Sequence[float] = (0.0,),
    repeats: int = 1,
) -> list[Point]:
    """All combinations. Repeats are the outermost, so that a machine that changes with time harms all points alike."""
    turns = range(1, repeats + 1)
    return [
        Point(number, rows, events, slots, latency, turn)
        for turn, latency, rows, events, slots, number in itertools.product(
            turns, latency_s, batch, block, streams, clients
        )
    ]


def as_csv(results: Iterable[Result]) -> str:
    """A line for each point; a failed one has empty figures and its error."""
    out = io.StringIO()
    names = [*(field.name for field in fields(Point)), *(field.name for field in fields(Measured)), "error"]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = asdict(result.point) | (asdict(result.measured) if result.measured else {}) | {"error": result.error}
        writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return out.getvalue()
