"""Configurations without what does not run."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import uproot
import yaml
from typer.testing import CliRunner

from evproc.framework.cli.main import app

WORKFLOW = """
    from evproc.framework import Alias, EndPath, Path, Process, Sequence, Task
    from evproc.framework import analyzer, producer, filter_by
    from evproc.modules import NtupleSource

    def twice(x: float) -> float:
        return 2 * x

    def large(used: float) -> bool:
        return used > 4

    process = Process("PRUNED")
    process.source = NtupleSource(files=["x.root"])
    process.used = producer(twice, x="x")
    process.unused = producer(twice, x="x")
    process.fed = producer(twice, x="used")
    process.other = Alias("unused")
    process.large = filter_by(large)
    process.loose = filter_by(large)
    process.inner = Sequence(process.loose)
    process.lonely = Sequence(process.inner)
    process.makers = Task(process.used, process.unused)
    process.path = Path(process.large, process.makers)
"""


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow with modules that do not run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    ids = {name: np.arange(3, dtype=np.uint32) for name in ("run", "luminosityBlock", "event")}
    with uproot.recreate(tmp_path / "x.root") as made:
        made["Events"] = {**ids, "x": np.array([1.0, 2.0, 3.0])}
    file = tmp_path / "pruned_workflow.py"
    file.write_text(dedent(WORKFLOW))
    return file


def test_what_does_not_run_is_left_out(workflow: Path) -> None:
    """Modules, aliases of them and lists of nothing else go; what is left gives the same job."""
    done = CliRunner().invoke(app, ["config", str(workflow), "--prune", "--set-only", "--output", "pruned.yaml"])
    assert done.exit_code == 0, done.output
    assert done.stderr == "left out: fed, loose, unused\n"
    made = yaml.safe_load(Path("pruned.yaml").read_text())
    assert list(made["modules"]) == ["source", "used", "large"]
    assert made["tasks"] == {"makers": ["used"]}
    assert not {"aliases", "sequences"} & set(made)
    run = CliRunner().invoke(app, ["run", "pruned.yaml"])
    assert run.exit_code == 0, run.output
    assert "does not run" not in run.output


def test_without_it_everything_is_there(workflow: Path) -> None:
    """Only what is asked for is left out."""
    done = CliRunner().invoke(app, ["config", str(workflow), "--output", "whole.yaml"])
    assert done.exit_code == 0, done.output
    made = yaml.safe_load(Path("whole.yaml").read_text())
    assert {"fed", "loose", "unused"} < set(made["modules"])
    assert list(made["sequences"]) == ["inner", "lonely"]


def test_faults_are_told(workflow: Path) -> None:
    """What runs cannot be said of a process with faults."""
    workflow.write_text(workflow.read_text().replace('producer(twice, x="x")', 'producer(twice, x="nothing")', 1))
    done = CliRunner().invoke(app, ["config", str(workflow), "--prune"])
    assert done.exit_code == 2
    assert "'nothing'" in done.output
