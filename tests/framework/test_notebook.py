"""evproc driven as a library: results, and what a notebook shows."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from evproc.framework import (
    Analyzer,
    ConfigurationError,
    EndPath,
    Event,
    ModuleError,
    Process,
    Progress,
    Report,
    filter_by,
    producer,
)
from evproc.framework import Path as ModulePath
from evproc.framework.notebook import NotebookBar, bar_html
from evproc.framework.testing import EventSource
from evproc.modules import HistogramAnalyzer


class Largest(Analyzer):
    """The largest number that it has seen."""

    consumes = ("x",)

    def begin_job(self, job: object) -> None:
        self.largest = 0.0

    def analyze(self, event: Event) -> None:
        self.largest = max(self.largest, float(event["x"]))

    def job_results(self) -> dict[str, Any]:
        return {"largest": self.largest}


def workflow(events: int = 100, **options: Any) -> Process:
    """A process with a filter, two histograms of one name, and an analyzer that hands something over."""
    process = Process("LIBRARY", **options)
    process.source = EventSource({"x": [float(number) for number in range(events)]}, chunk=10)
    process.twice = producer(lambda x: 2.0 * x, produces="float64")
    process.large = filter_by(lambda twice: twice > 99)
    process.path = ModulePath(process.large)
    block = {"bins": 4, "start": 0.0, "stop": 100.0}
    process.all = HistogramAnalyzer(histograms=[{"of": "x", **block}, {"of": "twice", **block}])
    process.again = HistogramAnalyzer(histograms=[{"of": "x", **block}])
    process.largest = Largest()
    process.end = EndPath(process.all, process.again, process.largest)
    return process


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_result_has_counts_and_histograms(block: int) -> None:
    """A result is the report, with counts by label, histograms by name, and what other modules hand over."""
    result = workflow(block=block).run()
    assert isinstance(result, Report)
    assert result.events == result.counts["twice"] == 100
    assert result.counts["large"] == result.counts["path"] == 50
    assert sorted(result.histograms) == ["again.x", "all.x", "twice"]
    assert result.histograms["all.x"].values().tolist() == [25, 25, 25, 25]
    assert result.results["largest"] == {"largest": 99.0}
    assert result.failed == []
    assert "histograms" not in json.dumps(result.to_dict())


def test_a_job_runs_in_a_running_loop() -> None:
    """Within a running event loop the job has a loop of its own, and progress is shown by the thread that called."""
    threads: set[threading.Thread] = set()

    async def cell() -> Report:
        return workflow(progress=0.001).run(lambda progress: threads.add(threading.current_thread()))

    assert asyncio.run(cell()).events == 100
    assert threads == {threading.main_thread()}


@pytest.mark.parametrize("inside", [True, False])
def test_a_progress_that_fails_does_not_harm_the_job(inside: bool) -> None:
    """A callback that raises is called no more; the job goes on and the report says why."""
    calls: list[Progress] = []

    def fails(progress: Progress) -> None:
        calls.append(progress)
        raise ValueError("no display")

    async def cell() -> Report:
        return workflow(progress=0.001).run(fails)

    report = asyncio.run(cell()) if inside else workflow(progress=0.001).run(fails)
    assert report.events == 100
    assert len(calls) == 1
    assert report.warnings[-1] == "progress was not shown to the end: ValueError: no display"


def test_processes_and_reports_show_as_tables() -> None:
    """HTML names every module with what was set, counts and histograms, and escapes what users wrote."""
    process = workflow()
    process.odd = filter_by(lambda x: True, y="<b>")
    text = process._repr_html_()
    assert "unknown parameter &#x27;y&#x27;" in text
    assert "<b>'" not in text
    del process.odd
    html = process.run()._repr_html_()
    for said in ("LIBRARY", "100 events", "large", ">50<", "analyzer", "<svg", "all.x"):
        assert said in html
    assert html.count("<table") == html.count("</table>") == 2
    assert html.count("<div") == html.count("</div>")


def test_the_bar_ends_with_the_job() -> None:
    """A bar says how far the job is, that it is done, or that it failed."""
    drawn: list[str] = []

    def show(html: str) -> Any:
        drawn.append(html)
        return drawn.append

    with NotebookBar(show) as bar:
        bar(Progress(10, 40, 1.0, 10.0, 3))
        bar(Progress(40, 40, 4.0, 10.0, 0, done=True))
    assert "width:25.00%" in drawn[1]
    assert "10 of 40 events, 10 events/s, 3 s left, 3 blocks open" in drawn[1]
    assert "40 of 40 events, in 4 s, 10 events/s" in drawn[2]

    def fails() -> None:
        with NotebookBar(show) as bar:
            bar(Progress(10, None, 1.0, 10.0, 3))
            raise ModuleError("x")

    with pytest.raises(ModuleError):
        fails()
    assert "failed, 10 events" in drawn[-1]
    assert bar_html(None, "", "failed before the first event") == "<div>failed before the first event</div>"


SETUP = """
from evproc.framework import EndPath, Process, producer
from evproc.framework.testing import EventSource
from evproc.modules import HistogramAnalyzer
process = Process("NOTEBOOK", progress=0.001, block=10)
process.source = EventSource({"x": [float(i) for i in range(2000)]}, chunk=100)
process.twice = producer(lambda x: 2.0 * x)
process.plot = HistogramAnalyzer(histograms=[dict(of="twice", bins=4, start=0, stop=4000)])
process.end = EndPath(process.plot)
process
"""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs cells in a real kernel; returns the notebook with their outputs."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")

    def run(*cells: str) -> Any:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        updates: list[dict[str, Any]] = []
        client = NotebookClient(
            notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        original = client.process_message
        client.process_message = lambda message, cell, index: (  # type: ignore[method-assign]
            updates.append(message["content"]) if message["msg_type"] == "update_display_data" else None,
            original(message, cell, index),
        )[1]
        try:
            client.execute()
        finally:
            notebook.metadata["updates"] = updates
        return notebook

    return run


def test_a_real_notebook(kernel: Any) -> None:
    """In a Jupyter kernel a job runs, its bar moves meanwhile, and process and result are shown as tables."""
    notebook = kernel(SETUP, "result = process.run()\nprint(result.events)", "result")
    first, second, third = (cell.outputs for cell in notebook.cells)
    assert "<table" in first[0].data["text/html"]
    bars = [update["data"]["text/html"] for update in notebook.metadata["updates"]]
    assert len(bars) > 2, "it is drawn while the job runs"
    counts = [int(found[1].replace(",", "")) for bar in bars if (found := re.search(r"([\d,]+) of 2,000", bar))]
    assert counts == sorted(counts)
    assert any(0 < count < 2000 for count in counts)
    assert "2,000 of 2,000 events" in second[0].data["text/html"], "the bar stays"
    assert second[-1].text == "2000\n"
    assert "<svg" in third[0].data["text/html"]


def test_faults_in_a_notebook(kernel: Any) -> None:
    """Faults are shown as such, without a traceback through evproc."""
    with pytest.raises(CellExecutionError) as caught:
        kernel(SETUP + "\nprocess.plot.set(histograms=[dict(of='twce', bins=4, start=0, stop=40)])", "process.run()")
    said = str(caught.value)
    assert "ConfigurationError: 1 fault in the configuration" in said
    assert "did you mean &#x27;twice&#x27;" in said or "did you mean 'twice'" in said
    assert "job.py" not in said


def test_a_fault_is_raised_in_a_running_loop() -> None:
    """What a job raises in its own thread reaches the caller."""
    process = workflow()
    process.large = filter_by(lambda nothing: True)

    async def cell() -> None:
        process.run()

    with pytest.raises(ConfigurationError, match="reads 'nothing'"):
        asyncio.run(cell())
