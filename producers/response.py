"""Response and resolution of an estimate of energy or momentum: what every calibration is judged by.

response    the median of predicted over true value
resolution  half the width of the central 68 % of predicted over true value, divided by the response: what is left after
            a method's scale has been corrected, so that no method gains by answering too little

Both are quantiles: a few wild entries do not move them. The root of the mean squared error (GeV) and that of the relative
error, which do feel them, stand beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[Any]

MIN_ENTRIES = 20
"""Bins with fewer entries have no figure."""


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of one method in one range of the true value."""

    entries: int
    response: float
    resolution: float
    response_error: float
    """Statistical uncertainty of the response: 1.25 widths / sqrt(entries), as for the median of a normal distribution."""
    resolution_error: float
    """Statistical uncertainty of the resolution: 0.96 of it / sqrt(entries), likewise."""
    rms: float
    """Root of the mean squared error, GeV."""
    relative_rms: float
    """Root of the mean squared relative error."""


def performance(true: Floats, predicted: Floats) -> Performance:
    """Response and resolution of one set of entries; all NaN if there are fewer than 20.

    true, predicted: (entries,), GeV; the true values are above 0
    """
    if len(true) < MIN_ENTRIES:
        return Performance(len(true), *[float("nan")] * 6)
    ratio = np.asarray(predicted, dtype=np.float64) / true
    low, middle, high = np.quantile(ratio, [0.16, 0.5, 0.84])
    width, count = (high - low) / 2.0, np.sqrt(len(true))
    return Performance(
        entries=len(true),
        response=float(middle),
        resolution=float(width / middle),
        response_error=float(1.25 * width / count),
        resolution_error=float(0.96 * width / middle / count),
        rms=float(np.sqrt(np.mean((np.asarray(predicted, dtype=np.float64) - true) ** 2))),
        relative_rms=float(np.sqrt(np.mean((ratio - 1.0) ** 2))),
    )


def performance_in_bins(true: Floats, predicted: Floats, edges: Sequence[float]) -> list[Performance]:
    """`performance` for each bin of the true value, lower edge included."""
    index = np.digitize(true, edges) - 1
    return [performance(true[index == i], predicted[index == i]) for i in range(len(edges) - 1)]


def draw_bins(
    axes: Axes,
    edges: Sequence[float],
    values: Sequence[float] | Floats,
    errors: Sequence[float] | None,
    **style: Any,
) -> None:
    """Points in the (geometric) middle of the bins, with bars as wide as the bins."""
    centres = np.sqrt(np.multiply(edges[:-1], edges[1:]))
    bars = [centres - np.asarray(edges[:-1]), np.asarray(edges[1:]) - centres]
    axes.errorbar(
        centres, values, errors, bars, linestyle="none", markersize=9, linewidth=2, markeredgewidth=2, **style
    )
