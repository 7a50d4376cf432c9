"""What a scan has found: points of one line together, their saturation, and what a plan says from the line's first point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from evproc.framework.errors import EvprocError
from evproc.sonic_client.planning.inputs import gathered, read_reports
from evproc.sonic_client.planning.law import PlanInputs, saturation

from .points import AXES, Measured, Point, Result, said
from .saturation import Saturation, fit_saturation


@dataclass(slots=True, kw_only=True)
class Line:
    """Points that differ in the number of clients alone."""

    name: str
    points: list[tuple[int, list[Measured]]]
    """Clients -> what was measured, once for each repeat."""
    fitted: Saturation | None
    plan: PlanInputs | None
    """From the reports of the point with the fewest clients; None if they do not say enough."""

    @property
    def planned(self) -> float | None:
        """Clients that saturate the servers, by the plan."""
        return None if self.plan is None else saturation(self.plan)

    def rates(self) -> list[tuple[int, float]]:
        """Clients and events/s, median of the repeats."""
        return [(clients, median(each.throughput for each in found)) for clients, found in self.points]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "points": [{"clients": clients, "events_per_s": rate} for clients, rate in self.rates()],
            "measured": None if self.fitted is None else {**asdict(self.fitted), "clients": self.fitted.clients},
            "planned": None
            if self.plan is None
            else {"event_s": self.plan.t_alone, "capacity": 1 / self.plan.t_shared, "clients": self.planned},
        }


def lines(results: Iterable[Result], reports: dict[Point, Path], instances: int = 1) -> list[Line]:
    """The lines of a scan. reports: where the reports of the clients of a point are; instances: of the server."""
    groups: dict[tuple[Any, ...], dict[int, list[Result]]] = {}
    for result in results:
        if result.measured is not None:
            groups.setdefault(result.point.series, {}).setdefault(result.point.clients, []).append(result)
    varied = [place for place in range(4) if len({key[place] for key in groups}) > 1]
    made = []
    for key, found in groups.items():
        points = [
            (clients, [each.measured for each in found[clients] if each.measured is not None])
            for clients in sorted(found)
        ]
        rates = [(clients, median(each.throughput for each in measured)) for clients, measured in points]
        first = found[points[0][0]]
        made.append(
            Line(
                name=_name(key, varied),
                points=points,
                fitted=fit_saturation(rates),
                plan=_plan([reports[each.point] for each in first if each.point in reports], instances),
            )
        )
    return made


def _name(key: Sequence[Any], varied: Sequence[int]) -> str:
    return ", ".join(said(AXES[1 + place], key[place]) for place in varied)


def _plan(folders: Sequence[Path], instances: int) -> PlanInputs | None:
    files = [file for folder in folders for file in sorted(folder.glob("client-*.json"))]
    try:
        return gathered({"servers": instances}, None, read_reports(files)) if files else None
    except EvprocError:
        return None
