"""The exit codes of `evproc run`, as docs/errors.md has them, each from a job that ends in that way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EVPROC = [sys.executable, "-c", "from evproc.framework.cli.main import main; main()"]
WORKFLOW = """
import os, signal

from evproc.framework import EndPath, ExceptionPolicy, Process, Producer
from evproc.framework import errors
from evproc.modules import ArraySource, NtupleOutput


class Module(Producer):
    produces = "int64"
    consumes = ("x",)

    def produce(self, event):
        number = int(event["x"])
        if number == 20:
            happens()
        if number % 7 == 3:
            raise KeyError(number)
        return number


def happens():
    what = os.environ["WHAT"]
    if what == "signal":
        os.kill(os.getpid(), signal.SIGINT)
    elif what:
        raise getattr(errors, what)("it happened")


process = Process("CODES", block=5, streams=1)
process.source = ArraySource({"x": [*range(3000)]})
process.policy = ExceptionPolicy(try_to_continue=["KeyError"])
process.made = Module()
process.out = NtupleOutput(file="out.root")
process.end = EndPath(process.made, process.out)
"""


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("", 7),
        ("InputError", 3),
        ("OutputError", 4),
        ("ModuleError", 5),
        ("ServerUnavailable", 6),
        ("InternalError", 70),
        ("signal", 130),
    ],
)
def test_the_exit_code_says_how_the_job_ended(
    what: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are there when the job ended well or was interrupted, and the list of failed events in any case."""
    (tmp_path / "workflow.py").write_text(WORKFLOW)
    monkeypatch.setenv("WHAT", what)
    done = subprocess.run(
        [*EVPROC, "run", "workflow.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out.root").exists() is (code in (7, 130))
    lines = [json.loads(line) for line in (tmp_path / "failed_events.jsonl").read_text().splitlines()[1:]]
    assert [line["event"] for line in lines[:3]] == [3, 10, 17]
    if what and what != "signal":
        assert lines[-1]["event"] == 20
        assert lines[-1]["error"] == what
    assert not (tmp_path / "failed_events.jsonl.part").exists()


def test_a_job_whose_failures_are_ignored_ends_with_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignored failures are counted, and nobody's fault; a wrong workflow is 2."""
    monkeypatch.setenv("WHAT", "")
    text = WORKFLOW.replace("try_to_continue=", "ignore=").replace("process.made, process.out", "process.made")
    (tmp_path / "workflow.py").write_text(text)
    (tmp_path / "wrong.py").write_text(text.replace('"KeyError"', '"KeyEror"'))
    for name, code in (("workflow.py", 0), ("wrong.py", 2)):
        done = subprocess.run(
            [*EVPROC, "run", name], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == code, done.stderr
    assert "no exception class is named 'KeyEror'; did you mean 'KeyError'" in done.stderr
