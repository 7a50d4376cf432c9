"""Fragments and customise functions."""

from __future__ import annotations

import sys
from pathlib import Path as FilePath

import pytest

from evproc.framework import ConfigurationError, Path, Process
from evproc.framework.loading import dump, load
from tests.framework.core_toys import Add, Divisible, Look, numbers

TOYS = "from tests.framework.core_toys import Add, Divisible, Look, numbers\nfrom evproc.framework import *\n"
FRAGMENT = (
    TOYS + "_base = Add(plus=5)\nadd = _base.clone(plus=6)\neven = Divisible()\nselect = Path(even, add)\nCUT = 3\n"
)


@pytest.fixture(autouse=True)
def _path_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading leaves folders on sys.path; the tests take them off again."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def written(path: FilePath, text: str) -> FilePath:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def ran(process: Process) -> list[tuple[int, int]]:
    process.source, process.look = numbers(6), Look(of=["add"])
    process.seen = Path(process.even, process.add, process.look)
    process.run()
    return list(process.look.rows)


def test_a_fragment_gives_its_top_level_parts(tmp_path: FilePath) -> None:
    """Modules and paths of a file become parts under their names; private names and other values do not."""
    file = written(tmp_path / "energy.py", FRAGMENT)
    process = Process("P")
    process.load(file)
    assert sorted(process._parts()) == ["add", "even", "select"]
    assert process.select.labels() == ["even", "add"]
    assert process.add.where == "energy.py:4"
    assert ran(process) == [(0, 6), (2, 8), (4, 10)]


def test_a_fragment_can_be_loaded_by_two_processes() -> None:
    """What is loaded is a copy: of a module that is imported once, and of another process."""
    home = Process("HOME")
    home.add, home.even = Add(plus=1), Divisible()
    home.select = Path(home.even, home.add)
    first, second = Process("A"), Process("B")
    first.load(home)
    second.load(home)
    first.add.set(plus=2)
    assert (home.add.config.plus, first.add.config.plus, second.add.config.plus) == (1, 2, 1)
    assert first.select.labels() == ["even", "add"]
    assert ran(first) == [(0, 2), (2, 4), (4, 6)]
    assert ran(second) == [(0, 1), (2, 3), (4, 5)]


def test_a_fragment_is_found_beside_the_workflow(tmp_path: FilePath) -> None:
    """A path is relative to the file that loads it, whatever the current folder; a module is named as for import."""
    written(tmp_path / "parts" / "energy.py", FRAGMENT)
    written(tmp_path / "cuts.py", TOYS + "odd = Divisible(by=3)\n")
    text = TOYS + "process = Process('W')\nprocess.load('parts/energy.py')\nprocess.load('cuts')\n"
    process = load(written(tmp_path / "workflow.py", text))
    assert sorted(process.modules) == ["add", "even", "odd"]
    assert dump(process, directory=tmp_path)["modules"]["add"]["plus"] == 6


def test_loading_a_fragment_keeps_what_the_workflow_imported(tmp_path: FilePath) -> None:
    """A fragment in another folder does not make the workflow import its own siblings twice."""
    written(tmp_path / "other" / "energy.py", FRAGMENT)
    written(tmp_path / "here" / "common.py", "class Mine: pass\n")
    text = "from common import Mine\n" + TOYS + "process = Process('W')\nprocess.load('../other/energy.py')\n"
    load(written(tmp_path / "here" / "workflow.py", text + "import common\nassert common.Mine is Mine\n"))


def test_a_label_that_is_taken_is_a_fault_unless_it_is_replaced(tmp_path: FilePath) -> None:
    """A fragment does not silently replace what the process has."""
    file = written(tmp_path / "energy.py", FRAGMENT)
    process = Process("P")
    process.add, process.even = Add(), Divisible()
    with pytest.raises(
        ConfigurationError, match=r"fragment 'energy.py' defines 'add', which the process has"
    ) as caught:
        process.load(file)
    assert len(caught.value.faults) == 2
    process.load(file, replace=True)
    assert process.add.config.plus == 6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("enrgy.py", "there is no file 'enrgy.py'; did you mean 'energy.py'?"),
        ("no_such_module_here", "there is no module 'no_such_module_here'"),
        ("nothing.py", "fragment 'nothing.py' defines no modules, paths, tasks or services"),
        ("broken.py", "ZeroDivisionError: division by zero  [broken.py:1]"),
        ("lost.py", "ModuleNotFoundError: No module named 'nowhere'  [lost.py:1]"),
    ],
)
def test_a_wrong_fragment_is_explained(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """A fragment that is absent, empty or broken is a fault that says so, and what is near."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "energy.py", FRAGMENT)
    written(tmp_path / "nothing.py", "CUT = 1\n")
    written(tmp_path / "broken.py", "1 / 0\n")
    written(tmp_path / "lost.py", "import nowhere\n")
    body = f"from evproc.framework import Process\nprocess = Process('W')\nprocess.load('{name}')\n"
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path / "workflow.py", body))
    (fault,) = caught.value.faults
    assert str(fault).startswith(text)


CUSTOM = """\
def tune(process):
    process.add.set(plus=7)
    return process

def customise(process):
    process.add.set(plus=8)

def broken(process):
    process.ad.set(plus=1)

def wrong(process):
    return 3
"""


def test_customise_functions_change_the_process(tmp_path: FilePath) -> None:
    """A function, or a name of one in a file or a module, changes the process in order; the last one holds."""
    file = written(tmp_path / "custom.py", CUSTOM)
    process = Process("P")
    process.add = Add()
    process.customise(lambda process: process.add.set(plus=6))
    assert process.add.config.plus == 6
    process.customise(f"{file}:tune")
    assert process.add.config.plus == 7
    assert process.add.origin_of("plus") == f"customise {file}:tune [custom.py:2]"
    process.customise(f"{file}:tune", str(file))
    assert process.add.config.plus == 8


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (":tun", "has no function 'tun'; did you mean 'tune'"),
        (":broken", "AttributeError: process 'P' has no 'ad'; did you mean 'add'?  [custom.py:9]"),
        (":wrong", "changes the process and returns it or nothing, not int  [custom.py]"),
    ],
)
def test_a_wrong_customise_function_is_explained(tmp_path: FilePath, name: str, text: str) -> None:
    """A function that is not there, fails or returns something else is a fault with its file and line."""
    file = written(tmp_path / "custom.py", CUSTOM)
    process = Process("P")
    process.add = Add()
    with pytest.raises(ConfigurationError) as caught:
        process.customise(f"{file}{name}")
    assert text in str(caught.value.faults[0])
