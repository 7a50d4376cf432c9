"""Wrong configurations: all their faults come together, before the first event, with label, key and what was near."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflows.conftest import FAULTY, WORKFLOWS, Done, jets, muons, score_server, write_root

Fails = Callable[..., str]


@pytest.fixture(autouse=True)
def samples(folder: Path) -> None:
    """Ntuples for the workflows, and the folder that they write to."""
    (folder / "output").mkdir()
    write_root("muons.root", muons(20))
    write_root("jets.root", jets(20))


@pytest.mark.parametrize("command", ["run", "check"])
def test_one_fault_of_each_kind(fails: Fails, command: str) -> None:
    """Missing input, cycle, unknown key, wrong type and range, a model that no server has, an output, a path: one list."""
    with score_server() as server:
        said = fails(
            2, command, FAULTY / "many_faults.py", "-o", f"inference.servers=[{server.url}]", "-o", "mising.x=1"
        )
        assert server.requests == []
    expected = (
        "cannot set 'mising.x': no module or service 'mising'; did you mean 'missing'?",
        "missing: reads 'MET_ptt', which nothing makes and jets.root, tree 'Events' does not hold; did you mean 'MET_pt'",
        "modules read one another's products: ",
        "unknown.at_lest: unknown parameter 'at_lest'; did you mean 'at_least'",
        "typed.at_least: input should be a valid integer, unable to parse string as an integer, not 'some'",
        "ranged.at_least: input should be greater than or equal to 0, not -3",
        "window.above: nothing passes: above is 60.0, below 50.0",
        f"homeless.client.model: no server has model 'scor'; did you mean 'score'? ({server.url} has score)",
        "timeless.client.timeout: input should be greater than 0, not 0.0",
        "out.select: no path 'patth'; did you mean 'path'?",
        "out.file: ",
    )
    assert [text for text in expected if text not in said] == []
    assert "chicken" in said.partition("modules read one another's products: ")[2].splitlines()[0]
    assert f"{len(expected)} faults in the configuration" in said
    assert said.count("[many_faults.py:") >= len(expected) - 2


def test_unknown_types_in_a_document(fails: Fails) -> None:
    """A YAML configuration: unknown types, keys and members of paths are told together, by their lines."""
    said = fails(2, "run", FAULTY / "unknown_module.yaml")
    assert "4 faults in the configuration" in said
    assert "few: unknown type: no plug-in is named 'CountFilterr'; did you mean 'CountFilter'" in said
    assert "window.abov: unknown parameter 'abov'; did you mean 'above'? (RangeFilter)  [unknown_module.yaml:5]" in said
    assert "other: type 'no.such.package:Thing' cannot be loaded: ModuleNotFoundError" in said
    assert "path: there is no module 'windw'; did you mean 'window'?" in said


def test_settings_of_the_command_line(fails: Fails) -> None:
    """Wrong settings are named as they were typed, beside one another and beside a missing file."""
    settings = ["source.files=none.root", "paired.abov=1", "mass.coordinates=spherical", "two_muons.at_least=-1"]
    options = [word for setting in settings for word in ("-o", setting)]
    said = fails(2, "run", WORKFLOWS / "dimuon.py", *options, "-o", "options.streams=0", "-o", "no equals sign")
    for expected in (
        "source: there is no file 'none.root'",
        "[-o paired.abov=1]",
        "mass.coordinates: ",
        "'polar' or 'cartesian', not 'spherical'",
        "[-o two_muons.at_least=-1]",
        "options.streams",
        "a setting is written KEY=VALUE  [-o no equals sign]",
    ):
        assert expected in said


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_option_does_not_hide_other_faults(fails: Fails, command: str) -> None:
    """An unknown option of the process is told together with a missing file."""
    text = (WORKFLOWS / "dimuon.py").read_text().replace('Process("DIMUON")', 'Process("DIMUON", stream=4)')
    Path("wrong.py").write_text(text.replace("muons.root", "none.root"))
    said = fails(2, command, "wrong.py")
    assert "options.stream: unknown parameter 'stream'; did you mean 'streams'" in said
    assert "there is no file 'none.root'" in said


def test_one_key_of_a_block_that_is_a_default(evproc: Callable[..., Done]) -> None:
    """`-o score.client.timeout=5` keeps the model of a client that the workflow left to the module's default."""
    text = (FAULTY / "scores.py").read_text()
    Path("default.py").write_text(text.replace('Scores(client=Client(model="score"))', "Scores()"))
    with score_server() as server:
        done = evproc("run", "default.py", "-o", f"inference.servers=[{server.url}]", "-o", "score.client.timeout=5")
    assert done.code == 0, done


@pytest.mark.parametrize("name", ["missing.py", "dimoun.py"])
def test_a_workflow_that_is_not_there(fails: Fails, name: str) -> None:
    """A missing workflow is a fault with the nearest name of its folder."""
    said = fails(2, "run", WORKFLOWS / name)
    assert "there is no workflow file" in said
    assert ("did you mean 'dimuon.py'" in said) == (name == "dimoun.py")
