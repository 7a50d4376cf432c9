"""The picture of a plan: time of an event and throughput against the number of clients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evproc.framework.errors import OutputError

from .law import PlanInputs, Prediction, event_time
from .simulation import Simulated

LAW, SEEN = "#3f90da", "#bd1f01"


def draw(inputs: PlanInputs, prediction: Prediction, simulated: Sequence[Simulated], path: Path) -> None:
    """Draw the law as a line and the simulation as points; a PNG file. Raises OutputError."""
    from matplotlib.figure import Figure

    most = max(point.clients for point in prediction.points)
    grid = [1 + (most - 1) * step / 400 for step in range(401)] if most > 1 else [1.0]
    times = [event_time(inputs, clients) for clients in grid]
    numbers = [each.clients for each in simulated]
    figure = Figure(figsize=(7, 7), layout="constrained")
    axes: Any = figure.subplots(2, 1, sharex=True)
    upper, lower = axes
    upper.plot(grid, times, color=LAW, label="law")
    upper.plot(numbers, [each.event_s for each in simulated], "o", color=SEEN, label="simulation")
    upper.set_ylabel("Time of an event, s")
    upper.set_ylim(bottom=0)
    lower.plot(grid, [clients / time for clients, time in zip(grid, times, strict=True)], color=LAW, label="law")
    lower.plot(numbers, [each.throughput for each in simulated], "o", color=SEEN, label="simulation")
    lower.set_ylabel("Events/s, all clients")
    lower.set_xlabel("Clients")
    lower.set_ylim(bottom=0)
    for part in (upper, lower):
        part.axvline(prediction.saturation, color="0.6", linestyle="--", linewidth=1, zorder=0)
    lower.text(prediction.saturation, 0, f" {prediction.saturation:.1f} clients", color="0.35", va="bottom")
    upper.legend(frameon=False)
    try:
        figure.savefig(path, format="png", dpi=110)
    except OSError as error:
        raise OutputError(f"cannot write the picture '{path}': {error.strerror}") from error
