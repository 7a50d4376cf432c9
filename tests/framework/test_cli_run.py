"""`evproc run` and `evproc check`, with real workflows."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app

WORKFLOWS = Path(__file__).parent.parent / "workflows"
NUMBERS = str(WORKFLOWS / "numbers_workflow.py")
EVPROC = [sys.executable, "-c", "from evproc.framework.cli.main import main; main()"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workflows write into the current folder; loading leaves theirs on sys.path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def evproc(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_a_workflow_runs_and_is_summed_up(tmp_path: Path) -> None:
    """The outputs are written, and the summary shows modules, paths, models and what limits the job, last."""
    shown = evproc("run", NUMBERS)
    assert shown.exit_code == 0, shown.output
    lines = Path("numbers.txt").read_text().splitlines()
    assert lines[0] == "100 100.0"
    assert len(lines) == 300
    words = [line.split() for line in shown.stdout.splitlines()]
    assert ["path", "events", "passed", "rejected", "share"] in words
    place = words.index(["select", "400", "300", "100", "75", "%"])
    assert words[place + 1] == ["high", "400", "300", "100", "75", "%"]
    assert next(line for line in words if line[:2] == ["high", "filter"])[2:4] == ["400", "300"]
    assert ["facile", "grpc://gpu1:8001", "120,000", "240", "500", "4.2", "ms", "13.1", "ms", "2"] in words
    assert shown.stdout.startswith("NUMBERS: 400 events in ")
    assert shown.stdout.splitlines()[-1] != ""
    assert "\x1b" not in shown.output


def test_the_summary_fits_into_80_columns() -> None:
    """No line of tables is wider than 80 columns for labels of usual length, and none ends in blanks."""
    shown = evproc("run", NUMBERS)
    table_lines = shown.stdout.splitlines()[:-1]
    assert max(map(len, table_lines)) <= 80
    assert all(line == line.rstrip() for line in table_lines)


def test_the_report_is_written_as_json(tmp_path: Path) -> None:
    """`--report` writes what the summary shows."""
    assert evproc("run", NUMBERS, "--report", "report.json", "--quiet").exit_code == 0
    report = json.loads(Path("report.json").read_text())
    assert (report["process"], report["events"], report["version"]) == ("NUMBERS", 400, 1)
    (path,) = report["paths"]
    assert [path[key] for key in ("label", "events", "passed", "failed", "exceptions")] == ["select", 400, 300, 100, 0]
    high = {"label": "high", "shown": "high", "filter": True, "events": 400, "rejected": 100, "exceptions": 0}
    assert path["modules"][-1] == high


def test_quiet_says_nothing() -> None:
    """`--quiet` leaves out progress and summary."""
    shown = evproc("run", NUMBERS, "--quiet")
    assert (shown.exit_code, shown.output) == (0, "")


def test_a_report_that_cannot_be_written_is_found_before_the_job() -> None:
    """A wrong folder for the report is an error of the output, and nothing is run."""
    shown = evproc("run", NUMBERS, "--report", "nowhere/report.json")
    assert shown.exit_code == 4
    assert "cannot write the report 'nowhere/report.json'" in shown.stderr
    assert not Path("numbers.txt").exists()


def test_settings_change_parameters() -> None:
    """`-o` sets parameters of modules, nested ones too, and options; values are YAML."""
    settings = ["-o", "source.events=20", "-o", "scaled.scale={factor: 5}", "-o", "options.block=3"]
    assert evproc("run", NUMBERS, *settings, "-o", "scaled.scale.offset=1e1", "-q").exit_code == 0
    assert Path("numbers.txt").read_text().splitlines()[0] == "9 100.0"


@pytest.mark.parametrize("command", ["run", "check"])
def test_all_faults_come_together(command: str) -> None:
    """Faults of the settings, of parameters and of the data flow are one error; wrong settings say so themselves."""
    wrong = ["hihg.threshold=2", "novalue", "scaled.scale.factor=-1", "high.of=scald", "options.block=0", "out.file=[}"]
    shown = evproc(command, NUMBERS, *(part for setting in wrong for part in ("-o", setting)))
    assert shown.exit_code == 2
    assert shown.stderr.startswith("error: ")
    for expected in (
        "cannot set 'hihg.threshold': no module or service 'hihg'; did you mean 'high'?  [-o hihg.threshold=2]",
        "a setting is written KEY=VALUE  [-o novalue]",
        "scaled.scale.factor: input should be greater than 0, not -1 (Scaled)  [-o scaled.scale.factor=-1]",
        "high: reads 'scald', which nothing makes and numbers does not hold",
        "[-o options.block=0]",
        "the value is not valid YAML",
    ):
        assert expected in shown.stderr
    assert "Traceback" not in shown.stderr
    assert not Path("numbers.txt").exists()


def test_check_counts_what_is_sound() -> None:
    """A sound workflow is summed up in a line, and nothing is run."""
    shown = evproc("check", NUMBERS)
    assert (shown.exit_code, shown.stdout) == (
        0,
        "NUMBERS: no faults in 5 modules, 1 path, 1 end path and 1 service\n",
    )
    assert not Path("numbers.txt").exists()


def test_arguments_after_two_dashes_go_to_the_workflow(tmp_path: Path) -> None:
    """What follows `--` is sys.argv of a Python workflow."""
    workflow = tmp_path / "named.py"
    text = "import sys\nfrom evproc.framework import Process\nprocess = Process('-'.join(sys.argv[1:]))\n"
    workflow.write_text(
        text + f"sys.path.append({str(WORKFLOWS)!r})\nfrom toys import Numbers\nprocess.s = Numbers()\n"
    )
    assert "A--B: no faults" in evproc("check", str(workflow), "--", "A", "", "B").stdout


@pytest.mark.parametrize(
    ("body", "code", "expected"),
    [
        ("return 1 / 0", 5, "ZeroDivisionError: division by zero\n  raised at failing.py:8\n"),
        ("return event['y']", 5, "module 'bad' reads 'y', which it does not declare as an input"),
    ],
)
def test_a_failing_module_is_explained(tmp_path: Path, body: str, code: int, expected: str) -> None:
    """An exception in a module names the event, the module, and the line that raised it; the exit code says whose fault."""
    workflow = tmp_path / "failing.py"
    lines = [
        "import sys",
        f"sys.path.append({str(WORKFLOWS)!r})",
        "from evproc.framework import Path, Process, Producer",
        "from toys import Numbers",
        "class Bad(Producer):",
        "    consumes = ['x']",
        "    def produce(self, event):",
        f"        {body}",
        "process = Process('BAD')",
        "process.source = Numbers(events=5)",
        "process.bad = Bad()",
        "process.path = Path(process.bad)",
    ]
    workflow.write_text("\n".join(lines))
    shown = evproc("run", str(workflow))
    assert shown.exit_code == code
    assert "error: " in shown.stderr
    assert "'bad'" in shown.stderr
    assert expected in shown.stderr
    assert "Traceback" not in shown.stderr
    assert "Traceback" in evproc("run", str(workflow), "--traceback").stderr


def test_an_output_that_cannot_be_written_has_its_exit_code() -> None:
    """A failing output module ends the program with exit code 4."""
    shown = evproc("run", NUMBERS, "-o", "out.file=nowhere/numbers.txt")
    assert shown.exit_code == 4
    assert "nowhere/numbers.txt" in shown.stderr


def test_an_unknown_exception_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no error of evproc ends with exit code 70, names its place and asks for a report."""

    def broken(*_: object) -> None:
        raise RuntimeError("queue is empty")

    monkeypatch.setattr("evproc.framework.job.run", broken)
    shown = evproc("run", NUMBERS)
    assert shown.exit_code == 70
    assert "error: unexpected RuntimeError: queue is empty  [test_cli_run.py:" in shown.stderr
    assert "please report it" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    """Ctrl-C during a job: exit code 130, complete outputs for the events done, and a summary."""
    arguments = ["run", NUMBERS, "-o", "source.events=1000000000", "-o", "options.progress=0.05"]
    process = subprocess.Popen(
        [*EVPROC, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "of 1,000,000,000 events" in first
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Interrupted: the outputs hold the events done so far." in out
    done = int(out.partition("NUMBERS: ")[2].partition(" events")[0].replace(",", ""))
    assert len((tmp_path / "numbers.txt").read_text().splitlines()) == done - 100


def test_the_bar_is_on_the_terminal_and_the_summary_is_not(tmp_path: Path) -> None:
    """With stderr a terminal the progress moves there; stdout, not one, gets the plain summary."""
    main, terminal = pty.openpty()
    arguments = ["run", NUMBERS, "-o", "source.events=20000", "-o", "options.progress=0.01"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [*EVPROC, *arguments], stdout=subprocess.PIPE, stderr=terminal, cwd=tmp_path, env=environment
    )
    os.close(terminal)
    seen = b""
    try:
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # the terminal is closed
                break
            if not piece:
                break
            seen += piece
        out = process.communicate(timeout=60)[0].decode()
    finally:
        process.kill()
        process.wait()
        os.close(main)
    assert process.returncode == 0
    shown = seen.decode()
    assert "\x1b[" in shown
    assert "of 20,000 events" in shown
    assert "in flight 3" in shown
    assert "\x1b" not in out
    assert out.startswith("NUMBERS: 20,000 events")
