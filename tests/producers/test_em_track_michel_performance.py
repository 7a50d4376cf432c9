"""Confusion matrix and Michel ROC curve: the figures, the picture, and the module that makes both of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import EndPath, Process
from evproc.framework.errors import ConfigurationError
from evproc.framework.testing import EventSource
from evproc.producers.em_track_michel import EmTrackMichelPerformance
from evproc.producers.em_track_michel.performance import confusion, roc, summary


def test_the_matrix_counts_true_classes_by_rows() -> None:
    """A hit is in the row of its truth and the column of its largest score; no hits are zeros."""
    truth = np.array([0, 0, 1, 2, 2])
    classes = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]])
    assert confusion(truth, classes).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert confusion(truth[:0], classes[:0]).tolist() == [[0] * 3] * 3


def test_the_curve_is_that_of_all_cuts() -> None:
    """From nothing to everything; the area is the chance that a signal has the larger score, equal ones count half."""
    score = np.array([0.9, 0.8, 0.8, 0.1])
    signal = np.array([True, False, True, False])
    rate, efficiency, area = roc(score, signal)
    assert (rate.tolist(), efficiency.tolist()) == ([0, 0, 0.5, 1], [0, 0.5, 1, 1])
    pairs = [(s > b) + 0.5 * (s == b) for s in score[signal] for b in score[~signal]]
    assert area == pytest.approx(np.mean(pairs))
    assert roc(score, ~signal)[2] == pytest.approx(1.0 - area)
    assert np.isnan(roc(score, np.zeros(4, np.bool_))[2])
    assert np.isnan(roc(score[:0], signal[:0])[2])


def test_the_figures_say_what_the_weights_are() -> None:
    """Rows for the three classes, with their hits, and the word for the weights in front."""
    text = summary(np.array([0, 1]), np.array([False, True]), np.eye(3)[:2], np.array([0.1, 0.2]), "untrained")
    assert text.startswith("2 hits, 1 of Michel electrons; weights: untrained\n")
    assert "| em | 1 | 0.0 % | 100.0 % | 0.0 % |" in text
    assert text.endswith("curve: 1.0000")


def compared(plot: Path, events: int, **parameters: Any) -> EmTrackMichelPerformance:
    """The comparison over a job of some events with three hits each."""
    random = np.random.default_rng(1)
    rows: dict[str, Any] = {name: random.random(3 * events).astype("f4") for name in ("track", "em", "none", "michel")}
    rows |= {"truth": random.integers(0, 3, 3 * events, dtype="i4"), "is_michel": random.random(3 * events) < 0.2}
    process = Process("COMPARE", block=7)
    process.source = EventSource({name: ak.unflatten(values, np.full(events, 3)) for name, values in rows.items()})
    process.plot = EmTrackMichelPerformance(plot=str(plot), **{name: name for name in rows}, **parameters)
    process.end = EndPath(process.plot)
    process.run()
    module: EmTrackMichelPerformance = process.plot
    return module


def test_the_comparison_is_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is drawn at the end of the job, of so many hits at most, with nothing beside it; also by a job of no events."""
    plot = tmp_path / "new" / "michel.png"
    assert compared(plot, 30, max_hits=30)._hits == 42
    assert compared(plot, 0)._hits == 0
    assert plot.read_bytes().startswith(b"\x89PNG\r\n")
    assert [path.name for path in plot.parent.iterdir()] == ["michel.png"]
    assert "weights: unknown" in capsys.readouterr().out


def test_a_picture_that_cannot_be_drawn_is_a_fault(tmp_path: Path) -> None:
    """A folder in place of the picture is told before the first event."""
    with pytest.raises(ConfigurationError, match=r"plot.plot: cannot draw"):
        compared(tmp_path, 5)
