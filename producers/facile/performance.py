"""Response and resolution of the energy, against the true energy: numbers and plot.

response    the median of predicted over true energy
resolution  half the width of the central 68 % of predicted over true energy, divided by the response: what is left after
            a method's scale has been corrected, so that no method gains by answering too little

Both are quantiles: a few wild channels do not move them. The root of the mean squared error (GeV) and that of the relative
error, which do feel them, stand beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[Any]

ENERGY_EDGES: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 400.0)
"""Bins of true energy, GeV."""
MIN_CHANNELS = 20
"""Bins with fewer channels have no figure."""


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of one method in one range of true energy."""

    channels: int
    response: float
    resolution: float
    rms: float
    """Root of the mean squared error, GeV."""
    relative_rms: float
    """Root of the mean squared relative error."""


def performance(true: Floats, predicted: Floats) -> Performance:
    """Response and resolution of one set of channels; NaN if there are fewer than 20.

    true, predicted: (channels,), GeV; true energies are above 0
    """
    if len(true) < MIN_CHANNELS:
        return Performance(len(true), *[float("nan")] * 4)
    ratio = np.asarray(predicted, dtype=np.float64) / true
    low, middle, high = np.quantile(ratio, [0.16, 0.5, 0.84])
    return Performance(
        channels=len(true),
        response=float(middle),
        resolution=float((high - low) / 2.0 / middle),
        rms=float(np.sqrt(np.mean((np.asarray(predicted, dtype=np.float64) - true) ** 2))),
        relative_rms=float(np.sqrt(np.mean((ratio - 1.0) ** 2))),
    )


def performance_in_bins(true: Floats, predicted: Floats, edges: Sequence[float] = ENERGY_EDGES) -> list[Performance]:
    """`performance` for each bin of true energy, lower edge included."""
    index = np.digitize(true, edges) - 1
    return [performance(true[index == i], predicted[index == i]) for i in range(len(edges) - 1)]


def performance_table(true: Floats, facile: Floats, charge_sum: Floats, edges: Sequence[float] = ENERGY_EDGES) -> str:
    """A Markdown table of both methods, bin by bin and overall."""
    lines = [
        "| true energy, GeV | channels | response FACILE | charge sum | resolution FACILE | charge sum |",
        "|---|---|---|---|---|---|",
    ]
    names = [f"{low:g}-{high:g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    ours = [*performance_in_bins(true, facile, edges), performance(true, facile)]
    plain = [*performance_in_bins(true, charge_sum, edges), performance(true, charge_sum)]
    for name, our, other in zip([*names, "all"], ours, plain, strict=True):
        lines.append(
            f"| {name} | {our.channels} | {our.response:.3f} | {other.response:.3f} "
            f"| {our.resolution:.4f} | {other.resolution:.4f} |"
        )
    our, other = ours[-1], plain[-1]
    lines.append(f"\nrms error: {our.rms:.3f} GeV (FACILE), {other.rms:.3f} GeV (charge sum)")
    lines.append(f"rms relative error: {our.relative_rms:.3f} (FACILE), {other.relative_rms:.3f} (charge sum)")
    return "\n".join(lines)
