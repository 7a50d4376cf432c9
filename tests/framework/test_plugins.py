"""Plug-ins: packages with entry points, installed into a temporary folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.config import InputTag, Parameter
from evproc.framework.errors import PluginError
from evproc.framework.loading import load
from evproc.framework.module import Analyzer, ExternalProducer, Filter, Module, Producer, Source
from evproc.framework.plugins import contract_faults, discover, listed
from evproc.framework.service import Service

Install = Callable[..., None]

GOOD = '''
"""Modules of a group."""
from evproc.framework import Producer

class Calibrated(Producer):
    """Calibrated energies."""
    def produce(self, event):
        return 1.0
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package: its name, the text of its one module, and entry points name -> target."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("EVPROC_PLUGINS", raising=False)
    known = set(sys.modules)

    def make(package: str, text: str, entries: dict[str, str], version: str = "1.0") -> None:
        (tmp_path / f"{package}.py").write_text(text)
        info = tmp_path / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
        (info / "entry_points.txt").write_text(f"[evproc.modules]\n{lines}")

    yield make
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def message(name: str) -> str:
    with pytest.raises(PluginError) as caught:
        discover().get(name).load_part()
    return str(caught.value)


def test_an_installed_class_is_found_by_name(install: Install) -> None:
    """The entry point's name leads to the class, and the class to the name."""
    install("group_plugin", GOOD, {"GroupCalibrated": "group_plugin:Calibrated"}, version="2.5")
    registry = discover()
    plugin = registry.get("GroupCalibrated")
    assert (plugin.package, plugin.version) == ("group_plugin", "2.5")
    assert "group_plugin" not in sys.modules, "finding a plug-in imports nothing"
    part = plugin.load_part()
    assert registry.name_of(part) == "GroupCalibrated"
    assert registry.name_of(Producer) is None


def test_an_unknown_name_is_answered_with_the_nearest(install: Install) -> None:
    """A typing error in a plug-in's name shows the right one."""
    install("group_plugin", GOOD, {"GroupCalibrated": "group_plugin:Calibrated"})
    assert message("GroupCalibratd") == "no plug-in is named 'GroupCalibratd'; did you mean 'GroupCalibrated'?"


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("import no_such_thing", "{}:A", "cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("raise SystemExit(3)", "{}:A", "cannot be imported: SystemExit: 3"),
        ("B = 1", "{}:A", "has no attribute 'A'"),
        ("A = 1", "{}:A", "it is a int, not a class"),
        ("class A: pass", "{}:A", "class A is neither a Module nor a Service"),
        (
            "from evproc.framework import Producer\nclass A(Producer):\n  class Config: pass\n  def produce(self, e): ...",
            "{}:A",
            "A.Config must derive from Block",
        ),
        (
            "from evproc.framework import Filter\nclass A(Filter): pass",
            "{}:A",
            "A must define filter() or filter_columns()",
        ),
        (
            "from evproc.framework import Producer\nclass A(Producer):\n  def produce(self): ...",
            "{}:A",
            "A.produce(self) cannot be called with (event)",
        ),
        (
            (
                "from evproc.framework import ExternalFilter\nclass A(ExternalFilter):\n"
                "  def acquire(self, event, more): ...\n  def filter(self, event): ..."
            ),
            "{}:A",
            (
                "A.filter(self, event) cannot be called with (event, result); "
                "A.acquire(self, event, more) cannot be called with (event)"
            ),
        ),
        (
            "from evproc.framework import Producer\nclass A(Producer):\n  async def produce(self, event): ...",
            "{}:A",
            "A.produce() is asynchronous, but nobody awaits it; external work is for that",
        ),
        (
            "from evproc.framework import Analyzer\nclass A(Analyzer):\n  def analyze(self, event):\n    yield event",
            "{}:A",
            "A.analyze() yields, but should return",
        ),
        (
            (
                "from evproc.framework import Analyzer\nclass A(Analyzer):\n  def analyze(self, event): ...\n"
                "  def begin_job(self): ..."
            ),
            "{}:A",
            "A.begin_job(self) cannot be called with (job)",
        ),
        (
            (
                "from evproc.framework import Filter\nclass A(Filter):\n  def __init__(self, cut): ...\n"
                "  def filter(self, event): ..."
            ),
            "{}:A",
            "A.__init__() must be given 'cut', but a configuration has only the fields of Config",
        ),
        ("def A(event): ...", "{}:A", "it is a function, not a class"),
        ("class A(object, Missing): ...", "{}:A", "cannot be imported: NameError: name 'Missing' is not defined"),
        ("def", "{}:A", "cannot be imported: SyntaxError"),
    ],
)
def test_a_bad_plugin_names_package_entry_point_and_fault(
    install: Install, text: str, target: str, expected: str
) -> None:
    """A plug-in that cannot be used says which it is and why, when it is asked for and not before."""
    install("bad_plugin", text, {"Broken": target.format("bad_plugin")})
    assert "Broken" in discover()
    found = message("Broken")
    assert expected in found
    assert found.startswith("plug-in 'Broken' (bad_plugin:A, of package bad_plugin 1.0) ")


def test_a_broken_plugin_is_listed_beside_good_ones(install: Install) -> None:
    """Listing is not stopped by a plug-in that fails."""
    install("bad_plugin", "import no_such_thing", {"Broken": "bad_plugin:A"})
    install("group_plugin", GOOD, {"GroupCalibrated": "group_plugin:Calibrated"})
    found = {plugin.name: (part, wrong) for plugin, part, wrong in listed(discover())}
    assert found["Broken"][0] is None
    assert "no_such_thing" in found["Broken"][1]
    assert found["GroupCalibrated"][1] == ""


def test_a_name_taken_twice_names_both_packages(install: Install) -> None:
    """Two packages with the same plug-in name are both named, when it is asked for."""
    install("first_plugin", GOOD, {"Calibrated": "first_plugin:Calibrated"})
    install("second_plugin", GOOD, {"Calibrated": "second_plugin:Calibrated"}, version="3.1")
    found = message("Calibrated")
    assert "first_plugin 1.0" in found
    assert "second_plugin 3.1" in found


def test_the_environment_restricts_packages(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """EVPROC_PLUGINS leaves the packages that it names, in any spelling; empty, only the built-in ones."""
    install("first_plugin", GOOD, {"First": "first_plugin:Calibrated"})
    install("second_plugin", GOOD, {"Second": "second_plugin:Calibrated"})
    built_in = {name for name in discover() if name not in ("First", "Second")}
    for value, expected in (
        ("", set()),
        ("Second-Plugin", {"Second"}),
        ("first_plugin, second_plugin", {"First", "Second"}),
    ):
        monkeypatch.setenv("EVPROC_PLUGINS", value)
        assert set(discover()) == built_in | expected


def test_built_in_modules_keep_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module that this package registers can be loaded."""
    monkeypatch.setenv("EVPROC_PLUGINS", "")
    assert [wrong for _, _, wrong in listed(discover()) if wrong] == []


class PerEvent(Producer):
    def produce(self, event: object) -> float:
        return 0.0


class FasterTwin(PerEvent):
    def produce_columns(self, columns: object) -> float:
        return 0.0


class SlowerTwin(FasterTwin):
    def produce(self, event: object) -> float:
        return 1.0


class BothForms(Analyzer):
    def analyze(self, event: object) -> None: ...

    def analyze_columns(self, columns: object) -> None: ...


class NoAcquire(ExternalProducer):
    def produce(self, event: object, result: object) -> float:
        return 0.0


class NoChunks(Source):
    pass


class TwoKinds(Producer, Filter):
    pass


class OwnType(Service):
    class Config(Service.Config):
        type: str = "a"


class BadDefault(PerEvent):
    class Config(PerEvent.Config):
        of: InputTag
        least: float = Parameter(5.0, description="smallest", gt=10)
        last: int = Parameter(20, description="largest", lt=10)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (PerEvent, []),
        (
            BadDefault,
            [
                "the default 5.0 of BadDefault.Config.least is refused: Input should be greater than 10",
                "the default 20 of BadDefault.Config.last is refused: Input should be less than 10",
            ],
        ),
        (FasterTwin, []),
        (Service, []),
        (SlowerTwin, ["SlowerTwin defines both produce() and produce_columns(); one of them must go"]),
        (BothForms, ["BothForms defines both analyze() and analyze_columns(); one of them must go"]),
        (NoAcquire, ["NoAcquire must define acquire() or acquire_columns()"]),
        (NoChunks, ["NoChunks must define catalog()", "NoChunks must define chunks()"]),
    ],
)
def test_a_class_is_held_against_the_contract(part: type, expected: list[str]) -> None:
    """A module defines one of each method and its columnar twin; a source both of its methods; defaults are allowed values."""
    assert contract_faults(part) == expected


class AwaitsItself(ExternalProducer):
    async def acquire(self, event: object) -> float:
        return 0.0

    def produce(self, event: object, outputs: object, *more: object) -> float:
        return 0.0

    @staticmethod
    def check() -> list[Any]:
        return []


def test_methods_may_be_written_in_any_way_that_can_be_called() -> None:
    """Names of parameters, more of them with defaults, static methods and an asynchronous `acquire` are all right."""
    assert contract_faults(AwaitsItself) == []


def test_a_class_must_be_of_one_kind() -> None:
    """A bare module, a module of two kinds, and a parameter named `type` are refused."""
    assert "must derive from one of Source" in contract_faults(Module)[0]
    assert "must derive from one of Source" in contract_faults(TwoKinds)[0]
    assert "may not have a parameter 'type'" in contract_faults(OwnType)[0]


SERVICE = '''
"""A service of a group, and a module that asks for it."""
from evproc.framework import Analyzer, Job, Parameter, Service

class RunBook(Service):
    """Writes down the runs of a job."""

    class Config(Service.Config):
        """How."""
        greeting: str = Parameter("hello", description="first word")

    async def begin_job(self, job):
        self.runs = [self.config.greeting]

    def begin_run(self, run):
        self.runs.append(run)

    def report(self):
        return {"runs": self.runs}

class Reads(Analyzer):
    """Finds the service."""
    consumes = ("x",)

    def begin_job(self, job):
        assert job.service(RunBook) is not None

    def analyze(self, event):
        pass
'''
JOB = """
process: P
services: {book: {type: GroupRunBook, greeting: hi}}
modules:
  source: {type: source.py:Numbers}
  reads: {type: GroupReads}
end_paths: {end: [reads]}
"""
NUMBERS = """
import numpy as np
from evproc.framework.testing import EventSource

class Numbers(EventSource):
    def __init__(self, **parameters):
        super().__init__({"x": np.arange(4)}, [(5, 1, 1), (5, 1, 2), (7, 1, 1), (7, 2, 1)], **parameters)
"""


def test_a_service_of_a_plug_in(install: Install, tmp_path: Path) -> None:
    """A service is found, listed, configured and run by its entry point, as a module is."""
    entries = {"GroupRunBook": "service_plugin:RunBook", "GroupReads": "service_plugin:Reads"}
    install("service_plugin", SERVICE, entries)
    listing = CliRunner().invoke(app, ["modules"]).stdout
    assert re.search(r"GroupRunBook +service +Writes down the runs of a job\. +of service_plugin 1\.0", listing)
    shown = CliRunner().invoke(app, ["modules", "GroupRunBook"]).stdout
    assert "GroupRunBook  service, of service_plugin 1.0" in shown
    assert re.search(r"greeting +text +hello +first word", shown)
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "source.py").write_text(NUMBERS)
    report = load(tmp_path / "job.yaml").run()
    assert report.services == {"book": {"runs": ["hi", 5, 7]}}
    assert report.blocks == 2
