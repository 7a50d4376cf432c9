"""`evproc new`: packages that can be installed, and whose tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evproc.framework import EvprocError, OutputError
from evproc.framework.cli.main import app
from evproc.framework.new_plugin import KINDS, Names, names_of, write_plugin

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_works_at_once(kind: str, tmp_path: Path) -> None:
    """What is written is installed by pip, passes its own test, and is found by its name."""
    place = tmp_path / "package"
    done = CliRunner().invoke(app, ["new", kind, "FineThing", "--folder", str(place)])
    assert done.exit_code == 0, done.output
    assert f"pip install -e {place}; pytest {place}; evproc modules FineThing" in done.stdout
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(place)], check=True, timeout=100)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT / "src")])}
    environment["EVPROC_PLUGINS"] = "evproc-fine-thing"

    def run(*command: str) -> str:
        found = subprocess.run(
            [sys.executable, "-W", "error", "-m", *command],
            env=environment,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert found.returncode == 0, f"{found.stdout}{found.stderr}"
        return found.stdout

    assert " passed" in run("pytest", "-q", "-p", "no:cacheprovider", "tests")
    code = (
        "import sys; sys.argv = ['evproc', 'modules', 'FineThing']; from evproc.framework.cli.main import main; main()"
    )
    (tmp_path / "shown.py").write_text(code)
    shown = subprocess.run(
        [sys.executable, str(tmp_path / "shown.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    assert shown.startswith(f"FineThing  {kind}, of evproc-fine-thing 0.1.0")
    assert "This line is what `evproc modules` shows." in shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("JetSum", Names("JetSum", "jet_sum", "evproc_jet_sum", "evproc-jet-sum")),
        ("jet-sum", Names("JetSum", "jet_sum", "evproc_jet_sum", "evproc-jet-sum")),
        ("jet_sum2", Names("JetSum2", "jet_sum2", "evproc_jet_sum2", "evproc-jet-sum2")),
        ("BTagSF", Names("BTagSF", "b_tag_sf", "evproc_b_tag_sf", "evproc-b-tag-sf")),
        ("METFilter", Names("METFilter", "met_filter", "evproc_met_filter", "evproc-met-filter")),
    ],
)
def test_names_follow_from_one(given: str, expected: Names) -> None:
    """Class, module, package and project are called after one name in any spelling."""
    assert names_of(given) == expected


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("producr", "A", "nothing new can be a 'producr'; did you mean 'producer'?"),
        ("source", "A", "nothing new can be a 'source'"),
        ("filter", "3jets", "'3jets' is no name for a module"),
        ("filter", "a b", "'a b' is no name for a module"),
        ("producer", "NtupleSource", "the name 'NtupleSource' is taken: plug-in 'NtupleSource' (evproc.modules"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, kind: str, name: str, expected: str) -> None:
    """A wrong kind, a name that no class can have, and one that is taken write nothing."""
    with pytest.raises(EvprocError) as caught:
        write_plugin(kind, name, tmp_path / "new")
    assert expected in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder that holds something is left as it is."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is there already; nothing was written"):
        write_plugin("producer", "JetSum", tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["mine.txt"]
