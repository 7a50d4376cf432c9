"""How well tops are told from other jets: the ROC curve, its area, and average pictures; a table and two plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import OutputError
from evproc.framework.new_files import in_one_step

from .images import HALF_WIDTH

Doubles = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

TOP, QCD = 1, 0
WORKING_POINTS = (0.3, 0.5, 0.8)
"""Fractions of tops kept at which the rejection of others is told."""


@dataclass(frozen=True, slots=True)
class Roc:
    """A ROC curve: for falling cuts on the score, the fractions of tops and of others above."""

    tops: Doubles
    """(cuts,), rising from 0 to 1."""
    others: Doubles
    """(cuts,), rising from 0 to 1."""
    counts: tuple[int, int]
    """Jets: tops, others."""

    @property
    def area(self) -> float:
        """The area under the curve: the chance that a top has a higher score than another jet; equal scores count half."""
        return float(np.sum(np.diff(self.others) * (self.tops[1:] + self.tops[:-1])) / 2.0)

    @property
    def area_error(self) -> float:
        """Its statistical error, after Hanley and McNeil, Radiology 143 (1982) 29."""
        area, (tops, others) = self.area, self.counts
        first, second = area / (2 - area), 2 * area**2 / (1 + area)
        variance = area * (1 - area) + (tops - 1) * (first - area**2) + (others - 1) * (second - area**2)
        return float(np.sqrt(max(variance, 0.0) / (tops * others)))

    def rejection(self, kept: float) -> float:
        """How many others there are for each one kept, at the tightest cut that keeps `kept` of the tops; inf if none is."""
        mistaken = float(self.others[np.searchsorted(self.tops, kept)])
        return 1.0 / mistaken if mistaken else float("inf")


def roc_curve(scores: Array, labels: Array) -> Roc:
    """The ROC curve of jets; those that are neither top nor QCD are left out.

    scores: (jets,); labels: (jets,) integers: 1 top, 0 QCD
    raises ValueError: there is no top, or nothing else, or a score is no number
    """
    tops, others = (np.asarray(scores[labels == label], np.float64) for label in (TOP, QCD))
    if not len(tops) or not len(others):
        raise ValueError(f"{len(tops)} tops and {len(others)} other jets make no ROC curve")
    if not (np.isfinite(tops).all() and np.isfinite(others).all()):
        raise ValueError("a score is not a number")
    cuts = np.unique(np.concatenate([tops, others]))[::-1]
    above = [len(group) - np.searchsorted(np.sort(group), cuts, side="left") for group in (tops, others)]
    fractions = [
        np.concatenate([[0.0], count / len(group)]) for count, group in zip(above, (tops, others), strict=True)
    ]
    return Roc(fractions[0], fractions[1], (len(tops), len(others)))


def performance_text(roc: Roc) -> str:
    """The figures of a ROC curve in one line."""
    points = ", ".join(f"{roc.rejection(kept):.4g} at {100 * kept:.0f} %" for kept in WORKING_POINTS)
    tops, others = roc.counts
    return f"AUC {roc.area:.4f} +- {roc.area_error:.4f}; rejection {points}; {tops:,} tops, {others:,} QCD jets"


def plot_roc(roc: Roc, path: str | Path, title: str) -> Path:
    """Draw the rejection of QCD jets against the fraction of tops kept; a PNG file. Raises OutputError."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        shown = roc.others > 0
        axes.plot(roc.tops[shown], 1.0 / roc.others[shown], color="#3f90da", linewidth=2.5, label=title)
        chance = np.geomspace(1e-3, 1.0, 50)
        axes.plot(chance, 1.0 / chance, color="0.6", linestyle="--", linewidth=1.2, label="chance")
        axes.set_yscale("log")
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel("Top jets kept")
        axes.set_ylabel("QCD jets for one that is mistaken")
        axes.legend(title=f"area {roc.area:.4f} ± {roc.area_error:.4f}", fontsize=18, title_fontsize=18)
        tops, others = roc.counts
        axes.text(1.0, 1.02, f"{tops:,} tops, {others:,} QCD jets", transform=axes.transAxes, fontsize=18, ha="right")

    return _drawn(draw, path, (9, 8))


def plot_scores(scores: Array, path: str | Path, title: str) -> Path:
    """Draw how often which score occurs, where nobody knows which jets are tops; a PNG file. Raises OutputError.

    scores: (jets,), 0 to 1
    """

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.hist(scores, bins=25, range=(0.0, 1.0), color="#3f90da", label=title)
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel("Probability of a top")
        axes.set_ylabel("Jets")
        axes.legend(fontsize=18)
        axes.text(1.0, 1.02, f"{len(scores):,} jets", transform=axes.transAxes, fontsize=18, ha="right")

    return _drawn(draw, path, (9, 8))


def plot_images(images: dict[str, tuple[Doubles, int]], path: str | Path) -> Path:
    """Draw average pictures beside one another; a PNG file. Raises OutputError.

    images: by title, the sum of the pictures (224, 224) and their number
    """
    averages = {title: total / max(jets, 1) for title, (total, jets) in images.items()}
    highest = max((float(average.max()) for average in averages.values()), default=0.0) or 1.0
    edges = (-HALF_WIDTH, HALF_WIDTH, -HALF_WIDTH, HALF_WIDTH)

    def draw(figure: Any) -> None:
        from matplotlib.colors import LogNorm

        norm = LogNorm(1e-4 * highest, highest)
        panels = figure.subplots(1, len(images), squeeze=False, gridspec_kw={"wspace": 0.35})[0]
        for axes, (title, (_, jets)) in zip(panels, images.items(), strict=True):
            seen = np.maximum(averages[title], 1e-4 * highest).T
            drawn = axes.imshow(seen, origin="lower", extent=edges, norm=norm, interpolation="nearest")
            axes.set_xlabel("eta, from the jet's axis")
            axes.set_ylabel("phi, from the jet's axis [rad]")
            axes.text(0.0, 1.02, f"{title}: mean of {jets:,} jets", transform=axes.transAxes, fontsize=20)
            figure.colorbar(drawn, ax=axes, label="fraction of the jet's pT, per pixel")

    return _drawn(draw, path, (10.5 * len(images), 8))


def _drawn(draw: Callable[[Any], None], path: str | Path, size: tuple[float, float]) -> Path:
    """Make a figure in the style of CMS, draw it, and write it under a temporary name first."""
    import matplotlib as mpl
    import mplhep
    from matplotlib.figure import Figure

    path = Path(path)
    style: Any = mplhep.style.CMS
    try:
        with in_one_step(path) as part, mpl.rc_context(style):
            figure = Figure(figsize=size)
            draw(figure)
            figure.savefig(part, dpi=80, bbox_inches="tight", format="png")
    except OSError as error:
        raise OutputError(f"cannot write the plot {path}: {error}") from error
    return path
