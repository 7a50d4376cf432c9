"""How well hits are classified: confusion matrix, ROC curve of the Michel score, and a picture of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import OutputError

Array = npt.NDArray[Any]

CLASSES = ("track", "em", "none")


def confusion(truth: Array, classes: Array) -> npt.NDArray[np.int64]:
    """Hits of each true class (row) that have each class as the largest score (column): (3, 3) int64.

    truth: (hits,) 0 to 2; classes: (hits, 3) scores
    """
    found = classes.argmax(axis=1) if len(classes) else np.empty(0, np.int64)
    return np.bincount(truth.astype(np.int64) * 3 + found, minlength=9).reshape(3, 3).astype(np.int64)


def roc(score: Array, signal: Array) -> tuple[Array, Array, float]:
    """Efficiency against false positives for all cuts on a score, and the area under that curve.

    score: (hits,); signal: (hits,) bool
    returns: false positive rate and efficiency, from 0 to 1, (cuts,) float64 each, and the area; equal scores are one cut. NaN
             without signal, or with nothing else
    """
    order = np.argsort(-score, kind="stable")
    ranked = signal[order].astype(np.int64)
    last = np.flatnonzero(np.diff(score[order], append=np.nan) != 0)
    passed = np.concatenate([[0], np.cumsum(ranked)[last]]).astype(np.float64)
    wrong = np.concatenate([[0], np.cumsum(1 - ranked)[last]]).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        efficiency, rate = passed / ranked.sum(), wrong / (len(ranked) - ranked.sum())
    area = np.sum(0.5 * (efficiency[1:] + efficiency[:-1]) * np.diff(rate)) if len(rate) > 1 else np.nan
    return rate, efficiency, float(area)


def summary(truth: Array, michel: Array, classes: Array, score: Array, weights: str) -> str:
    """The figures as text: what the weights are, fractions of each class, area under the Michel curve.

    truth, michel, classes, score: those of the hits, as `confusion` and `roc` have them
    """
    counts = confusion(truth, classes)
    _, _, area = roc(score, michel)
    lines = [f"{len(truth):,} hits, {int(michel.sum()):,} of Michel electrons; weights: {weights}"]
    lines += ["", f"| true | hits | {' | '.join(f'as {name}' for name in CLASSES)} |", "|---|---|---|---|---|"]
    for name, row in zip(CLASSES, counts, strict=True):
        share = " | ".join(f"{100 * number / max(1, row.sum()):.1f} %" for number in row)
        lines.append(f"| {name} | {row.sum()} | {share} |")
    return "\n".join([*lines, "", f"Area under the Michel ROC curve: {area:.4f}"])


def plot_performance(
    truth: Array, michel: Array, classes: Array, score: Array, path: str | Path, weights: str = "trained"
) -> Path:
    """Draw confusion matrix and Michel ROC curve; a PNG file. Weights other than `trained` are told in the picture.

    raises OutputError: the picture cannot be written
    """
    import matplotlib as mpl
    import mplhep
    from matplotlib.figure import Figure

    path = Path(path)
    counts = confusion(truth, classes)
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    rate, efficiency, area = roc(score, michel)
    style_sheet: Any = mplhep.style.CMS
    with mpl.rc_context(style_sheet):
        figure = Figure(figsize=(20, 9))
        matrix, curve = figure.subplots(1, 2, gridspec_kw={"wspace": 0.28})
        matrix.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
        for (row, column), value in np.ndenumerate(share):
            text = f"{100 * value:.1f} %\n{counts[row, column]:,}"
            matrix.text(column, row, text, ha="center", va="center", color="white" if value > 0.6 else "black")
        matrix.set_xticks(range(3), CLASSES)
        matrix.set_yticks(range(3), CLASSES)
        matrix.tick_params(which="both", length=0)
        matrix.minorticks_off()
        matrix.set_xlabel("Largest score")
        matrix.set_ylabel("Truth of the hit")
        matrix.text(0.0, 1.03, "evproc toy", transform=matrix.transAxes, fontsize=26, fontweight="bold")
        curve.plot(rate, efficiency, color="#3f90da", linewidth=2.5, label=f"Michel score, area {area:.3f}")
        curve.plot([0, 1], [0, 1], color="0.6", linewidth=1.2, linestyle="--")
        curve.set_xlim(0.0, 1.0)
        curve.set_ylim(0.0, 1.02)
        curve.set_xlabel("Other hits that pass")
        curve.set_ylabel("Hits of Michel electrons that pass")
        curve.legend(loc="lower right", fontsize=23)
        entries = f"{len(truth):,} hits, {int(michel.sum()):,} Michel"
        curve.text(1.0, 1.03, entries, transform=curve.transAxes, fontsize=22, ha="right")
        if weights != "trained":
            figure.text(0.5, 0.955, f"WEIGHTS: {weights.upper()}", fontsize=30, ha="center", color="#bd1f01")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=70, bbox_inches="tight", format="png")
        except OSError as error:
            raise OutputError(f"cannot write the plot {path}: {error}") from error
    return path
