"""The program `evproc` itself: its help, and the commands that packages add."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app

AddCommand = Callable[[str, str], None]
EVPROC = [sys.executable, "-c", "from evproc.framework.cli.main import main; main()"]


@pytest.fixture
def add_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddCommand]:
    """Installs a package of one module that offers the object `command` of it as a command of that name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("EVPROC_PLUGINS", raising=False)
    packages = []

    def add(name: str, text: str) -> None:
        package = f"command_{name}"
        packages.append(package)
        (tmp_path / f"{package}.py").write_text(text)
        info = tmp_path / f"{package}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[evproc.commands]\n{name} = {package}:command\n")

    yield add
    for package in packages:
        sys.modules.pop(package, None)


def test_help_names_every_command() -> None:
    """`evproc --help` lists the commands, each with a sentence."""
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for command in ("run", "check", "config", "graph", "report", "modules", "inspect", "server"):
        assert f"\n  {command} " in shown.output
    assert max(len(line) for line in shown.output.splitlines()) <= 80


def test_help_costs_little() -> None:
    """`evproc --help` takes less than 0.4 s of CPU time, and imports nothing heavy."""
    costs = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*EVPROC, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(costs) < 0.4
    code = "import sys, evproc.framework.cli.main\nprint(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "pydantic", "uproot", "grpc", "yaml", "rich.console"} & set(loaded)


def test_the_version_is_shown() -> None:
    """`evproc --version` names the version."""
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.exit_code == 0
    assert shown.output.startswith("evproc 0.")


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    """A typing error in a command shows the right one, with exit code 2."""
    shown = CliRunner().invoke(app, ["chek"])
    assert shown.exit_code == 2
    assert "no command is named 'chek'; did you mean 'check'?" in shown.stderr


def test_a_package_adds_a_typer_command(add_command: AddCommand) -> None:
    """A typer app of a package is a command; help names the package and does not import it."""
    text = (
        "import typer\ncommand = typer.Typer()\n@command.command()\ndef greet(name: str):\n    print('hello', name)\n"
    )
    add_command("greet", text)
    assert "From command_greet 1.5." in CliRunner().invoke(app, ["--help"]).output
    assert "command_greet" not in sys.modules
    shown = CliRunner().invoke(app, ["greet", "world"])
    assert (shown.exit_code, shown.output) == (0, "hello world\n")


def test_a_package_adds_a_command_of_its_own_click(add_command: AddCommand) -> None:
    """What is not typer's, but has `main` as click's commands do, gets its arguments untouched."""
    text = (
        "class Command:\n"
        "    def main(self, args, prog_name):\n"
        "        print(prog_name, *args)\n"
        "        raise SystemExit(4)\n"
        "command = Command()\n"
    )
    add_command("other", text)
    shown = CliRunner().invoke(app, ["other", "--count", "3", "--help"])
    assert (shown.exit_code, shown.output) == (4, "evproc other --count 3 --help\n")


@pytest.mark.parametrize(
    ("text", "expected"), [("import no_such_thing", "ModuleNotFoundError"), ("command = 3", "neither a typer app nor")]
)
def test_a_broken_command_names_its_package(add_command: AddCommand, text: str, expected: str) -> None:
    """A command that cannot be loaded says whose it is and why; the others work on."""
    add_command("broken", text)
    shown = CliRunner().invoke(app, ["broken"])
    assert shown.exit_code == 2
    assert "plug-in 'broken' (command_broken:command, of package command_broken 1.5)" in shown.stderr
    assert expected in shown.stderr
    assert "broken" in CliRunner().invoke(app, ["--help"]).output


def test_errors_of_a_command_are_shown_as_ours_are(add_command: AddCommand) -> None:
    """An EvprocError in a command of a package is shown in a block, with its exit code and its cause's place."""
    text = (
        "import typer\nfrom evproc.framework import InputError\ncommand = typer.Typer()\n"
        "@command.command()\ndef read():\n"
        "    try:\n        {}['tree']\n    except KeyError as error:\n        raise InputError('no tree') from error\n"
    )
    add_command("read", text)
    shown = CliRunner().invoke(app, ["read"])
    assert shown.exit_code == 3
    assert shown.stderr == "error: no tree\n  because KeyError: 'tree'  [command_read.py:7]\n"
