"""No two parts of a process write one file."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest

from evproc.framework import ConfigurationError, EndPath, ExceptionPolicy, Process
from evproc.modules import ArraySource, Histogram, HistogramAnalyzer, NtupleOutput


def process_in(folder: FilePath) -> Process:
    """Two outputs, histograms, and a file of failed events."""
    process = Process("P")
    process.source = ArraySource({"x": [1.0, 2.0]})
    process.one = NtupleOutput(file=str(folder / "a.root"))
    process.other = NtupleOutput(file=str(folder / "b.root"))
    histogram = Histogram(of="x", bins=2, start=0.0, stop=3.0)
    process.plots = HistogramAnalyzer(histograms=[histogram], file=str(folder / "h.root"))
    process.policy = ExceptionPolicy(failed_events=str(folder / "failed.jsonl"))
    process.end = EndPath(process.one, process.other, process.plots)
    return process


@pytest.mark.parametrize(
    ("label", "key", "name", "message"),
    [
        ("other", "file", "x/../a.root", "other: writes '.*a.root', and 'one' writes the same file"),
        ("plots", "file", "b.root", "plots: writes '.*b.root', and 'other' writes the same file"),
        ("policy", "failed_events", "h.root", "policy: writes '.*h.root', and 'plots' writes the same file"),
    ],
)
def test_two_parts_that_write_one_file_are_a_fault(
    tmp_path: FilePath, label: str, key: str, name: str, message: str
) -> None:
    """It is found before the first event, however the file is spelled, and whatever writes it."""
    (tmp_path / "x").mkdir()
    process_in(tmp_path).run()
    process = process_in(tmp_path)
    getattr(process, label).set(**{key: str(tmp_path / name)})
    with pytest.raises(ConfigurationError, match=message):
        process.run()


def test_an_output_that_does_not_run_writes_nothing(tmp_path: FilePath) -> None:
    """A module on no path may name the file of another."""
    process = process_in(tmp_path)
    process.spare = process.one.clone()
    process.run()
