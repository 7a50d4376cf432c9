"""The time that a job has spent on each module, for the picture and the text of its graph."""

from __future__ import annotations

from itertools import pairwise

from .cli import text
from .errors import InputError
from .graph import Graph, Spent
from .report import Report

HEAT = ((0.0, "#FFFFFF"), (0.1, "#FFF1C9"), (0.35, "#FDCB7A"), (0.65, "#F79554"), (1.0, "#E4572E"))
"""Share of the time -> colour. Grows in darkness too, so that it reads in grey."""


def add_times(graph: Graph, report: Report, where: str) -> None:
    """Put the times of a report onto a graph. Raises InputError if it is the report of another workflow."""
    if report.process != graph.name:
        raise InputError(f"'{where}' is the report of process '{report.process}', not of '{graph.name}'")
    strange = [module.label for module in report.modules if module.label not in graph.nodes]
    if strange:
        raise InputError(f"'{where}' has modules that the workflow has not: {', '.join(strange)}")
    for module in report.modules:
        share = min(1.0, module.cpu_s / report.wall_s) if report.wall_s > 0 else 0.0
        said = f"{text.duration(module.cpu_s)}, {text.percent(module.cpu_s, report.wall_s) or '0 %'}"
        wait = f"waits {text.duration(module.external_wait_s)}" if module.external_wait_s else ""
        graph.spent[module.label] = Spent(share, said, wait)


def heat(share: float) -> str:
    """The colour of a share of the time, 0 to 1."""
    for (low, first), (high, second) in pairwise(HEAT):
        if share <= high:
            part = max(0.0, (share - low) / (high - low))
            mixed = [round(a + part * (b - a)) for a, b in zip(_channels(first), _channels(second), strict=True)]
            return "#" + "".join(f"{channel:02X}" for channel in mixed)
    return HEAT[-1][1]


def _channels(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
