"""Compiled modules: the same results as in Python, in every job; and what cannot be compiled is said, with its line."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from evproc.framework import ConfigurationError, ModuleError, Path, Process, Producer
from evproc.framework.compiled_driver import _LOADED
from evproc.framework.testing import EventSource, run_module
from tests.framework import compiled_bad as bad
from tests.framework import compiled_toys as toys

BLOCKS = (1, 7, 1000)


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Code of other runs of the tests is not used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVPROC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def events(count: int) -> list[dict[str, Any]]:
    """Events with jets, and more."""
    random = np.random.default_rng(7)
    made = []
    for number in range(count):
        jets = int(random.integers(0, 5))
        made.append(
            {
                "Jet": {
                    "pt": random.exponential(30, jets).astype(np.float32),
                    "eta": random.uniform(-4, 4, jets).astype(np.float32),
                },
                "MET_pt": np.float32(random.exponential(20)),
                "weights": random.uniform(0, 1, 2).tolist(),
                "n": np.int32(number % 11),
            }
        )
    return made


def bits(values: list[Any]) -> list[Any]:
    """Values with their types and bits."""
    if isinstance(values[0], dict):
        return [{name: (np.asarray(item).tobytes()) for name, item in value.items()} for value in values]
    return [(np.asarray(value).dtype, np.asarray(value).tobytes()) for value in values]


@pytest.mark.parametrize("name", ["Scalars", "Arrays", "Several", "Busy"])
def test_compiled_and_python_give_the_same_bits(name: str) -> None:
    """Numbers, lists, several products and filters have the bits that Python gives, for blocks of any size."""
    sample = events(200)
    expected = bits(run_module(getattr(toys, name)(), sample))
    for block in BLOCKS:
        module = getattr(toys, f"{name}Compiled")()
        assert bits(run_module(module, sample, block=block)) == expected
        assert module.warnings == []


def job(compiled: bool, block: int, sample: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Two filters and two producers, the second of which reads what the first made; the products of what passes."""

    class Reads(Producer):
        """Reads what another module made for the same events."""

        consumes = ("scalars", "arrays")
        produces = "float64"

        def produce(self, event: Any) -> float:
            return float(event["scalars"]) + len(event["arrays"])

    Reads.compiled = compiled
    suffix = "Compiled" if compiled else ""
    process = Process("MASKED", block=block)
    process.source = EventSource(sample)
    process.two = getattr(toys, f"Busy{suffix}")(at_least=2)
    process.three = getattr(toys, f"Busy{suffix}")(at_least=3)
    process.scalars = getattr(toys, f"Scalars{suffix}")(above=7.0)
    process.arrays = getattr(toys, f"Arrays{suffix}")()
    process.reads = Reads()
    seen = process.seen = toys.Seen(["scalars", "reads", "arrays"])
    process.a = Path(process.two, process.scalars, process.three, process.arrays, process.reads, seen)
    report = process.run()
    return seen.values, [path.passed for path in report.paths]


def test_masks_of_paths_apply() -> None:
    """Behind filters, a compiled module runs for the events that passed, and reads and makes products of those."""
    sample = events(150)
    expected, passed = job(False, 1000, sample)
    assert 10 < len(expected) < 100
    for block in BLOCKS:
        found, also = job(True, block, sample)
        assert also == passed
        assert bits(found) == bits(expected)


def line_of(module: type[Any], mark: str = "# here") -> int:
    """The line of a class that has a mark."""
    lines, first = inspect.getsourcelines(module)
    return first + next(number for number, text in enumerate(lines) if mark in text)


@pytest.mark.parametrize(
    ("module", "words", "has_line"),
    [
        (bad.NoMachineCode, "cannot be compiled", False),
        (bad.Undeclared, "it reads 'Jet_pT', which it does not declare", True),
        (bad.NoField, "collection 'Jet' has no field 'ptt' here; did you mean 'pt'?", True),
        (bad.Text, "product 'name' is string; a compiled module reads numbers", False),
        (bad.Changes, "cannot change its module", True),
        (bad.Writes, "setitem", True),
        (bad.Nothing, "of one type on all ways", False),
        (bad.TwoDimensions, "arrays of 2 dimensions", False),
        (bad.NotThere, "no attribute 'nothing'", True),
        (bad.NoBool, "a filter returns True or False, not int32", False),
        (bad.Columnar, "it defines produce_columns", False),
        (bad.Threaded, "threads", False),
        (bad.Looks, "only producers and filters", False),
        (bad.NoDict, "return the products as a dict, written there", True),
    ],
)
def test_what_cannot_be_compiled_is_a_fault(module: type[Any], words: str, has_line: bool) -> None:
    """Before the first event the job says which module cannot be compiled, in which line, and why."""
    sample = [{**event, "name": "x"} for event in events(3)]
    with pytest.raises(ConfigurationError) as caught:
        run_module(module(), sample)
    (fault,) = caught.value.faults
    assert words in str(fault)
    assert module.__name__ in str(fault)
    if has_line:
        assert f"compiled_bad.py:{line_of(module)}" in str(fault)


@pytest.mark.parametrize(
    ("module", "words"),
    [(bad.OutOfRange, "IndexError"), (bad.DividesByZero, "ZeroDivisionError"), (bad.Raises, "too few")],
)
def test_errors_are_those_of_python_and_name_the_event(module: type[Any], words: str) -> None:
    """An index out of range, a division by zero, an own error: each stops the job at its event, as in Python."""
    pt = np.array([40.0, 30.0, 20.0], np.float32)
    sample: list[dict[str, Any]] = [{"Jet_pt": pt, "n": np.int32(9)} for _ in range(100)]
    sample[60] = {"Jet_pt": np.empty(0, np.float32), "n": np.int32(1)}
    for block in BLOCKS:
        with pytest.raises(ModuleError, match=words) as caught:
            run_module(module(), sample, ids=[(1, 1, number) for number in range(100)], block=block)
        assert "event 60" in str(caught.value)


def test_a_difference_that_is_no_rounding_ends_the_job() -> None:
    """Integers that Python keeps in 32 bits and machine code in 64 are found out by the events that run in both."""
    sample = [{"Jet_pt": np.ones(1, np.float32), "n": np.int32(2000)}]
    with pytest.raises((ModuleError, ConfigurationError), match="compiled"):
        run_module(bad.Differs(), sample)


def test_code_is_kept_and_follows_every_change(monkeypatch: pytest.MonkeyPatch, tmp_path: FilePath) -> None:
    """A second job takes the code of the first; another parameter, global number or helper makes other code."""
    monkeypatch.setenv("EVPROC_CACHE", str(tmp_path))
    sample = events(20)
    _LOADED.clear()

    def entries() -> int:
        _LOADED.clear()  # as in another process
        return len(list((tmp_path / "compiled").glob("*.nbi")))

    for limit, above in ((2.4, 5.0), (2.4, 9.0), (1.1, 9.0)):
        monkeypatch.setattr(toys, "LIMIT", limit)
        before = entries() if (tmp_path / "compiled").exists() else 0
        for _ in range(2):
            expected = bits(run_module(toys.Scalars(above=above), sample))
            assert bits(run_module(toys.ScalarsCompiled(above=above), sample)) == expected
            assert entries() == before + 1
    for file in (tmp_path / "compiled").iterdir():
        file.write_bytes(b"cut short")
    _LOADED.clear()
    assert bits(run_module(toys.ScalarsCompiled(above=9.0), sample)) == expected


def test_undeclared_types_are_compiled_for_late() -> None:
    """A product whose type nobody declares is compiled for when it comes, with a word in the report."""

    class Unsaid(Producer):
        """Declares no type."""

        consumes = ("n",)

        def produce(self, event: Any) -> Any:
            return event["n"]

    class Twice(Producer):
        """Reads it."""

        consumes = ("unsaid",)
        produces = "int64"
        compiled = True

        def produce(self, event: Any) -> Any:
            return event["unsaid"] * 2

    process = Process("LATE")
    process.source = EventSource(events(30))
    process.unsaid, process.twice = Unsaid(), Twice()
    seen = process.seen = toys.Seen(["twice"])
    process.path = Path(process.unsaid, process.twice, seen)
    report = process.run()
    assert [value["twice"] for value in seen.values] == [2 * (number % 11) for number in range(30)]
    assert any("compiled while events waited" in text for text in report.warnings)


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numba is not installed, the fault names the extra."""
    monkeypatch.setattr("evproc.framework.compiled.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"evproc\[compiled\]"):
        run_module(toys.BusyCompiled(), events(2))
