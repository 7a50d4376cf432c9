"""What `evproc inspect` says of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from evproc.modules.inspect_command import app, describe_file

Write = Callable[..., str]


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def test_branches_types_and_sizes_are_shown(write_events: Write) -> None:
    """Collections come with their fields, types, entries and sizes."""
    code, text, _ = call(write_events(kind="rntuple"))
    assert code == 0
    lines = [line.split() for line in text.splitlines()]
    assert "Events  RNTuple, 1,000 events, 7 branches" in text
    assert ["Jet", "collection", "of", "2", "fields"] in [line[:5] for line in lines]
    assert ["pt", "var", "*", "float32"] in [line[:4] for line in lines]
    assert ["event", "uint64"] in [line[:2] for line in lines]


def test_json_holds_the_same(write_events: Write) -> None:
    """`--json` writes the description as data, with its version."""
    path = write_events()
    code, text, _ = call(f"{path}:Events", "--json")
    assert code == 0
    found = json.loads(text)
    assert found == describe_file(path, "Events")
    (tree,) = found["trees"]
    assert (found["version"], found["bytes"], tree["entries"]) == (1, Path(path).stat().st_size, 1000)
    (branch,) = (branch for branch in tree["branches"] if branch["name"] == "Jet_pt")
    assert branch["type"] == "var * float32"
    assert branch["bytes"] > branch["bytes_in_file"] > 0


def test_what_cannot_be_read_is_shown_with_the_reason(real_file: Callable[[str], str]) -> None:
    """An unreadable branch is listed with why; the other trees are shown all the same."""
    code, text, _ = call(real_file("pfnano.root"))
    assert code == 0
    assert "1 branch cannot be read:" in text
    assert "memberwise serialization" in text
    assert "Events  TTree, 10 events, 1,802 branches" in text
    assert "--tree Events lists all branches" in text


def test_faults_end_with_their_exit_code(write_events: Write, tmp_path: Path) -> None:
    """A missing file or tree is one line on stderr and exit code 3."""
    path = write_events()
    for arguments, message in [
        ((str(tmp_path / "event.root"),), "did you mean 'events.root'"),
        ((path, "--tree", "events"), "did you mean 'Events'?"),
    ]:
        code, _, complaint = call(*arguments)
        assert code == 3
        assert complaint.startswith("error: ")
        assert message in complaint
