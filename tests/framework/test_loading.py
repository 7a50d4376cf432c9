"""Workflows from Python files and from YAML and JSON, and back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from evproc.framework.documents import format_document, parse_value
from evproc.framework.errors import ConfigurationError, Fault
from evproc.framework.loading import dump, load, results_hash
from evproc.framework.process import Process

WORKFLOWS = Path(__file__).parent.parent / "workflows"
NUMBERS = WORKFLOWS / "numbers_workflow.py"
BAD = sorted((WORKFLOWS / "bad").glob("*.py"))


@pytest.fixture(autouse=True)
def _path_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading leaves the workflow's folder on sys.path; the tests take it off again."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def faults_of(path: Path) -> tuple[Fault, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return caught.value.faults


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_workflow_file_is_explained(path: Path) -> None:
    """A workflow file that fails is one fault that says what, in which file and line (the file's first line)."""
    expected = path.read_text().splitlines()[0].removeprefix("# ")
    assert [str(fault) for fault in faults_of(path)] == [expected]


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    """A workflow that is not Python is a fault with the line and its text."""
    path = written(tmp_path / "unclosed.py", "\nprocess = Process('BAD'\n")
    assert [str(fault) for fault in faults_of(path)] == [
        "SyntaxError: '(' was never closed: process = Process('BAD'  [unclosed.py:2]"
    ]


def test_there_are_bad_workflow_files() -> None:
    """The parametrized test above has files to look at."""
    assert len(BAD) >= 7


def test_a_workflow_is_executed_under_a_name_of_its_own(tmp_path: Path) -> None:
    """A workflow is not `__main__`, knows its file, and gets its arguments as sys.argv."""
    text = "import sys\nfrom evproc.framework import Process\nprocess = Process('A')\n"
    text += "assert __name__ != '__main__' and sys.modules[__name__].process is process\n"
    text += "process.__dict__['seen'] = (__file__, list(sys.argv))\n"
    path = written(tmp_path / "arguments.py", text)
    before = list(sys.argv)
    process = load(path, ["--events", "5"])
    assert process.__dict__["seen"] == (str(path), [str(path), "--events", "5"])
    assert sys.argv == before
    assert not (tmp_path / "__pycache__").exists()


def test_siblings_of_two_folders_are_kept_apart(tmp_path: Path) -> None:
    """Each workflow imports the `common.py` of its own folder."""
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "common.py").write_text(f"NAME = '{folder}'\n")
        text = "from common import NAME\nfrom evproc.framework import Process\nprocess = Process(NAME)\n"
        names.append(load(written(tmp_path / folder / "workflow.py", text)).name)
    assert names == ["a", "b"]


def test_a_missing_file_names_the_nearest() -> None:
    """A workflow that is not there is answered with what is."""
    assert "did you mean 'numbers_workflow.py'" in str(faults_of(WORKFLOWS / "number_workflow.py")[0])
    assert "is a folder" in str(faults_of(WORKFLOWS)[0])
    assert "does not exist" in str(faults_of(WORKFLOWS / "nowhere" / "a.py")[0])
    assert "must end in .py" in str(faults_of(Path(__file__).parent.parent.parent / "LICENSE")[0])


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("full", [True, False])
def test_a_dump_loads_as_the_same_process(tmp_path: Path, form: str, full: bool) -> None:
    """Python to a configuration file and back gives the same configuration and the same hash."""
    process = load(NUMBERS)
    path = tmp_path / f"numbers.{form}"
    path.write_text(format_document(dump(process, full=full, directory=tmp_path), form))
    again = load(path)
    assert dump(again, directory=tmp_path) == dump(process, directory=tmp_path)
    assert dump(again, full=False, directory=tmp_path) == dump(process, full=False, directory=tmp_path) or full
    assert results_hash(again) == results_hash(process)
    assert type(again.source).__qualname__ == "Numbers"
    assert again.doubled.where.startswith(f"numbers.{form}")


def test_a_dump_names_classes_by_their_files() -> None:
    """Classes of the workflow and of its siblings are named by file, relative to the configuration or absolute."""
    process = load(NUMBERS)
    relative = dump(process, directory=WORKFLOWS.parent)["modules"]
    assert relative["doubled"]["type"] == "workflows/numbers_workflow.py:Doubled"
    assert relative["source"]["type"] == "workflows/toys.py:Numbers"
    assert dump(process)["modules"]["doubled"]["type"] == f"{NUMBERS}:Doubled"


def test_a_dump_spells_out_defaults_or_only_what_was_set() -> None:
    """The full form has every parameter, the other only those that were given."""
    process = load(NUMBERS)
    assert dump(process)["modules"]["scaled"]["scale"] == {"factor": 0.5, "offset": 0.0}
    assert dump(process, full=False)["modules"]["scaled"]["scale"] == {"factor": 0.5}
    assert dump(process, full=False)["options"] == {"threads": 2}
    assert dump(process)["options"]["streams"] == "auto"


def test_a_dump_names_every_fault() -> None:
    """Faulty parameters are reported together, not dumped."""
    process = load(NUMBERS)
    process.override("high.treshold", 1)
    process.override("scaled.scale.factor", -1)
    process.override("options.block", 0)
    with pytest.raises(ConfigurationError) as caught:
        dump(process)
    assert {fault.label for fault in caught.value.faults} == {"high", "scaled", "options"}


def test_a_local_class_cannot_be_dumped() -> None:
    """A class that a function defines cannot be found again, and the dump says so."""
    process = load(NUMBERS)
    base = type(process.doubled)

    class Local(base):  # type: ignore[misc, valid-type]  # the class comes from a file
        pass

    process.local = Local()
    with pytest.raises(ConfigurationError, match="a function defines it"):
        dump(process)


def test_the_hash_sees_what_changes_results_and_nothing_else(tmp_path: Path) -> None:
    """Placement, order, spelled-out defaults and the folder leave the hash alone; anything else changes it."""

    def changed(key: str, value: object) -> str:
        process = load(NUMBERS)
        process.override(key, value)
        return results_hash(process)

    same = results_hash(load(NUMBERS))
    assert len(same) == 64
    assert changed("options.threads", 8) == same
    assert changed("source.chunk", 7) == same
    assert changed("clock.server", "elsewhere") == same
    assert changed("scaled.scale.offset", 0.0) == same
    assert changed("scaled.scale.offset", 0.1) != same
    assert changed("source.events", 399) != same
    for file in ("toys.py", "numbers_workflow.py"):
        (tmp_path / file).write_text((WORKFLOWS / file).read_text())
    assert results_hash(load(tmp_path / "numbers_workflow.py")) == same
    process = load(NUMBERS)
    process.select = type(process.select)(process.doubled, process.scaled)
    assert results_hash(process) != same


FAULTY = """\
process: NUMBERS
options: {strems: 4}
servces: {}
modules:
  source: {type: %(toys)s:Nmbers}
  scaled: {type: %(toys)s:Scaled, of: x, scal: {factor: 2}}
  high: {type: AboveFilterOfNobody}
  lost: {threshold: 3}
  plain: 7
  elsewhere: {type: no_such_package.modules:Thing}
  clock: {type: %(toys)s:Clock}
  run: {type: %(toys)s:Scaled}
paths:
  select: [scaled, hihg]
  scaled: [scaled]
  wrong: scaled
"""


def test_all_faults_of_a_configuration_file_come_together(tmp_path: Path) -> None:
    """Unknown types, keys, labels and sections of a YAML file are reported at once, with line and nearest name."""
    path = written(tmp_path / "faulty.yaml", FAULTY % {"toys": WORKFLOWS / "toys.py"})
    found = {str(fault).replace(str(WORKFLOWS / "toys.py"), "toys.py") for fault in faults_of(path)}
    no_module = "ModuleNotFoundError: No module named 'no_such_package'"
    expected = {
        "options.strems: unknown parameter 'strems'; did you mean 'streams' or 'threads'?  [faulty.yaml:2]",
        "servces: unknown section; did you mean 'services' or 'sequences'?  [faulty.yaml:3]",
        "source: unknown type: 'toys.py' has no class 'Nmbers'; did you mean 'Numbers'?  [faulty.yaml:5]",
        "scaled.scal: unknown parameter 'scal'; did you mean 'scale'? (Scaled)  [faulty.yaml:6]",
        "lost: its type must be given  [faulty.yaml:8]",
        "plain: must be a table with a type, not a int  [faulty.yaml:9]",
        f"elsewhere: type 'no_such_package.modules:Thing' cannot be loaded: {no_module}  [faulty.yaml:10]",
        "clock: type 'toys.py:Clock': Clock is no Module and does not belong in modules  [faulty.yaml:11]",
        "run: 'run' is no label: a process has an attribute of that name already  [faulty.yaml:12]",
        "select: there is no module 'hihg'; did you mean 'high'?  [faulty.yaml:14]",
        "scaled: the label is in modules already  [faulty.yaml:15]",
        "wrong: must be a list of labels  [faulty.yaml:16]",
    }
    unknown = found - expected
    assert expected <= found
    assert len(unknown) == 1
    assert unknown.pop().startswith("high: unknown type: no plug-in is named 'AboveFilterOfNobody'")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yaml", "process: A\nmodules: {source: [}\n", "not valid YAML"),
        ("b.yaml", "process: A\n\tmodules: {}\n", "not valid YAML"),
        ("c.json", '{"process": "A",\n}', "not valid JSON"),
        ("d.yaml", "process: A\nprocess: B\n", "'process' is given twice  [d.yaml:2]"),
        ("e.json", '{"process": "A", "process": "B"}', "'process' is given twice  [e.json]"),
        ("f.yaml", "- process\n", "a configuration is a table of process, options"),
        ("g.yaml", "", "a configuration is a table of process, options"),
        ("h.yaml", "modules: []\n", "modules: must be a table, not a list  [h.yaml:1]"),
        ("i.yaml", "process: A\npaths: {a b: []}\n", "a b: a label must be a name as in Python"),
    ],
)
def test_a_broken_configuration_file_is_explained(tmp_path: Path, name: str, text: str, expected: str) -> None:
    """Syntax errors, repeated keys and wrong shapes of a file name the file, and the line where it is known."""
    messages = [str(fault) for fault in faults_of(written(tmp_path / name, text))]
    assert any(expected in message for message in messages), messages
    assert all(name in message for message in messages), messages


def test_a_configuration_takes_no_arguments(tmp_path: Path) -> None:
    """Arguments are for Python workflows."""
    with pytest.raises(ConfigurationError, match="takes no arguments"):
        load(written(tmp_path / "a.yaml", "process: A\n"), ["--fast"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("20_000", 20000),
        ("1e-3", 1e-3),
        ("no", "no"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("null", None),
        ("", ""),
        (".inf", float("inf")),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("grpc://gpu1:8001", "grpc://gpu1:8001"),
    ],
)
def test_values_read_as_they_are_meant(text: str, value: object) -> None:
    """Values follow the core schema of YAML 1.2, and are written so that they read back."""
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)
    assert parse_value(format_document({"k": value}, "yaml"))["k"] == value
    assert json.loads(format_document({"k": value}, "json"))["k"] == value
    if isinstance(value, str):
        assert parse_value(format_document({"k": [text]}, "yaml"))["k"] == [text]


@pytest.mark.parametrize("text", ["true", "1e-3", "007", "null", "", "- a", "a: b", "1_000"])
def test_texts_that_look_like_something_else_are_quoted(text: str) -> None:
    """A text in a dump reads back as a text."""
    assert parse_value(format_document({"k": text}, "yaml"))["k"] == text


def test_a_python_process_need_not_come_from_a_file() -> None:
    """A process made in Python dumps and hashes too."""
    process = Process("EMPTY")
    assert dump(process, full=False) == {"process": "EMPTY"}
    assert results_hash(process) != results_hash(Process("OTHER"))
