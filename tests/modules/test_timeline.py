"""The time line of a trace: intervals that are joined, figures of the overlap, a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evproc.framework.errors import InputError
from evproc.modules.timeline import draw, joined, main, read_time_line


def sliced(name: str, category: str, pid: int, tid: int, begin: float, end: float) -> dict[str, Any]:
    """A slice of a trace, times in seconds."""
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": pid,
        "tid": tid,
        "ts": begin * 1e6,
        "dur": (end - begin) * 1e6,
    }


def named(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    """The name of a track."""
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


TRACE = [
    named("thread_name", 1, 2, "reader"),
    named("thread_name", 1, 10, "stream 0"),
    named("process_name", 2, 0, "grpc://one:1"),
    named("thread_name", 2, 1, "requests 0"),
    named("process_name", 3, 0, "grpc://two:1"),
    named("thread_name", 3, 1, "requests 0"),
    sliced("chunk 1", "input", 1, 2, 5.0, 5.5),
    sliced("energy acquire", "acquire", 1, 10, 5.5, 6.0),
    sliced("shapes", "run", 1, 10, 6.0, 7.0),
    sliced("facile: 3 rows", "request", 2, 1, 6.0, 8.0),
    sliced("deepcalo: 3 rows", "request", 3, 1, 6.5, 9.0),
    sliced("energy collect", "collect", 1, 10, 9.0, 9.25),
]


def test_intervals_are_joined() -> None:
    """Those that touch or overlap become one, in order."""
    assert joined([(3.0, 4.0), (0.0, 1.0), (0.5, 2.0), (2.0, 2.5)]) == [(0.0, 2.5), (3.0, 4.0)]


def test_figures_say_how_much_went_on_at_the_same_time(tmp_path: Path) -> None:
    """Wall time from the first slice to the last; the parts are the CPU's time and that of each model."""
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": TRACE}))
    line = read_time_line(tmp_path / "trace.json")
    expected = {"wall": 4.25, "CPU": 1.75, "deepcalo": 2.5, "facile": 2.0, "at once": 1.5, "parts": 6.25}
    assert line.figures() == pytest.approx(expected)
    picture = draw(line, tmp_path / "line.png")
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")


def test_the_command_draws_and_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the figures; a trace of nothing is an empty picture; what is no trace is told by name."""
    trace, picture = tmp_path / "trace.json", tmp_path / "line.png"
    trace.write_text(json.dumps({"traceEvents": TRACE}))
    main([str(trace), str(picture)])
    assert "would take 1.47 times as long" in capsys.readouterr().out
    trace.write_text('{"traceEvents": []}')
    main([str(trace), str(picture)])
    assert "wall 0.00 s" in capsys.readouterr().out
    trace.write_text("[]")
    with pytest.raises(InputError, match=r"trace\.json cannot be read as a trace"):
        read_time_line(trace)
