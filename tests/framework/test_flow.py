"""The data flow: who makes what is read, and every fault in it, before the first event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Catalog,
    Chunk,
    EndPath,
    Event,
    Input,
    InputError,
    InputTag,
    Module,
    OutputModule,
    Path,
    Process,
    Producer,
    Source,
)
from evproc.framework.columns import Flat
from evproc.framework.event import EventIDs
from evproc.framework.flow import resolve
from tests.framework.core_toys import Add, Call, Divisible, Look, faults_of, numbers


class Offers(Source):
    """A source with collections, and a branch that cannot be read; writes down what it is asked to read."""

    asked: frozenset[str] = frozenset()

    def catalog(self) -> Catalog:
        return Catalog(
            {"x": "int64", "Jet_pt": "float32", "Jet_eta": "float32", "nJet": "int32"},
            {"Jet": ("pt", "eta")},
            {"Jet_hits": "its type is std::map", "weird": "its type is TObject"},
            3,
            "some.root",
        )

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        self.asked = keys
        yield Chunk(EventIDs.numbered(0, 3), {key: Flat(np.arange(3)) for key in keys})


class Jets(Producer):
    """Reads a collection."""

    class Config(Producer.Config):
        jets: InputTag = Input("Jet", fields=["pt"])

    def produce(self, event: Event) -> Any:
        return event[self.config.jets].pt


class Several(Producer):
    """Makes two products."""

    produces = {"a": "int64", "b": "int64"}

    def produce(self, event: Event) -> Any:
        return {"a": 1, "b": 2}


def process_with(**modules: Module) -> Process:
    """A process of a source and some modules."""
    process = Process("P")
    process.source = Offers()
    for label, module in modules.items():
        setattr(process, label, module)
    return process


def fault_of(**modules: Module) -> str:
    """The only fault of a process, without its place."""
    (fault,) = faults_of(process_with(**modules))
    text, _, place = fault.partition("  [")
    assert place.startswith("test_flow.py:")
    return text


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (Look(of=["X_mas"]), "m: reads 'X_mas', which nothing makes and some.root does not hold"),
        (
            Look(of=["Jet_pT"]),
            "m: reads 'Jet_pT', which nothing makes and some.root does not hold; did you mean 'Jet_pt'",
        ),
        (Look(of=["Jets"]), "m: reads 'Jets', which nothing makes and some.root does not hold; did you mean 'Jet'"),
        (Look(of=["weird"]), "m: reads 'weird', which cannot be read: its type is TObject"),
        (Look(of=["Jet_hits"]), "m: reads 'Jet_hits', which cannot be read: its type is std::map"),
        (Jets(jets="weird"), "m: reads 'weird', which cannot be read: its type is TObject"),
        (Look(of=["other"]), "m: reads 'other', but module 'other' makes other:a, other:b"),
        (Look(of=["other:c"]), "m: reads 'other:c', but module 'other' makes other:a, other:b"),
        (Look(of=["even"]), "m: reads 'even', but module 'even' makes no product"),
        (Look(of=["source"]), "m: reads 'source', but module 'source' makes no product"),
        (Look(of=["m"]), "m: reads 'm', but module 'm' makes no product"),
        (Module(), "m: Module must derive from one of Source, Producer"),
    ],
)
def test_a_wrong_input_is_named_with_what_was_near(module: Module, text: str) -> None:
    """An input that nobody makes, or that cannot be read, names module, input, file and the nearest right name."""
    other, even = Several(), Divisible()
    assert fault_of(other=other, even=even, m=module).startswith(text)


def test_fields_of_a_collection_are_held_against_the_file() -> None:
    """A field that a collection lacks, or that cannot be read, is a fault with the reason."""

    class More(Jets):
        class Config(Jets.Config):
            more: InputTag = Input("Jet", fields=["mass"])
            hits: InputTag = Input("Jet", fields=["hits"])

    found = faults_of(process_with(m=More()))
    assert [fault.partition("  [")[0] for fault in found] == [
        "m: collection 'Jet' has no field 'mass'; it has eta, pt",
        "m: reads 'Jet_hits', which cannot be read: its type is std::map",
    ]


def test_only_what_running_modules_read_is_asked_of_the_source() -> None:
    """The source gets the fields of collections that are read, and nothing of modules that do not run."""
    process = process_with(jets=Jets(), look=Look(of=["jets"]), idle=Add(of=["x"]))
    process.end = EndPath(process.look)
    process.run()
    assert process.source.asked == {"Jet_pt"}


def test_a_whole_collection_reads_all_its_fields() -> None:
    """A tag without fields allows all of them, and the products under their own names."""
    flow = resolve(process_with(look=Look(of=["Jet"])))
    assert flow.reads["look"] == {"Jet": ("pt", "eta"), "Jet_pt": None, "Jet_eta": None}
    assert flow.edges == [("source", "look", "Jet_pt"), ("source", "look", "Jet_eta")]


def test_a_product_may_not_hide_another() -> None:
    """A module whose label is a branch or a collection of the file is ambiguous, and says so."""
    assert fault_of(x=Add(of=["nJet"])) == (
        "x: its product 'x' has the name of a branch of the source (some.root); rename the module"
    )
    assert fault_of(Jet=Add()) == "Jet: its product 'Jet' has the name of a collection; rename the module"


def test_cycles_are_shown_once_each() -> None:
    """Modules that read one another's products in a circle are a fault that shows the circle."""
    found = faults_of(
        process_with(a=Add(of=["b"]), b=Add(of=["c", "x"]), c=Add(of=["a"]), d=Add(of=["d"]), e=Add(of=["a"]))
    )
    assert found == [
        "modules read one another's products: a <- b <- c <- a",
        "modules read one another's products: d <- d",
    ]


def test_a_diamond_is_no_cycle() -> None:
    """Two ways to one product are sound."""
    assert faults_of(process_with(a=Add(), b=Add(of=["a"]), c=Add(of=["a"]), d=Add(of=["b", "c"]))) == []


@pytest.mark.parametrize("several", [False, True])
def test_a_process_has_one_source(several: bool) -> None:
    """No source, and two, are faults."""
    process = Process("P")
    process.look = Look()
    if several:
        process.one, process.two = numbers(1), numbers(1)
    (fault,) = faults_of(process)
    assert fault.startswith(
        "process 'P' has several sources: one, two" if several else "process 'P' has no source; add"
    )


def test_faults_of_all_parts_come_together() -> None:
    """Parameters, inputs, paths, selections: all are found in one go, each with its line."""
    process = process_with(a=Add(off=["x"]), b=Add(of=["y"]), c=Divisible(by=0))
    process.path = Path("a", "bb", process.c)
    process.other = Path(Look())
    process.third = Path(process.source)
    found = faults_of(process)
    assert len(found) == 6
    assert all("[test_flow.py:" in fault for fault in found)
    for part in (
        "a.off: unknown parameter 'off'; did you mean 'of'?",
        "b: reads 'y', which nothing makes",
        "c.by: input should be greater than or equal to 1",
        "path: names module 'bb'; did you mean 'b'?",
        "other: names a module that is not an attribute of the process",
        "third: names the source 'source', which runs by itself",
    ):
        assert any(fault.startswith(part) for fault in found), part


def test_readers_of_a_faulty_module_are_not_blamed() -> None:
    """Who reads the product of a module with wrong parameters has no fault of its own."""
    assert len(faults_of(process_with(a=Add(off=1), b=Add(of=["a"]), look=Look(of=["b"])))) == 1


class Broken(Source):
    """A source whose file is not there, or whose code is wrong."""

    error: Exception = InputError("file 'a.root' is not there")

    def catalog(self) -> Catalog:
        raise self.error

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        raise self.error


def test_a_module_without_its_method_is_a_fault() -> None:
    """A class that lacks the method of its kind is found before the first event, by name."""

    class Typo(Producer):
        def prodcue(self, event: Event) -> float:
            return 1.0

    assert any(
        "Typo must define produce() or produce_columns()" in fault for fault in faults_of(process_with(a=Typo()))
    )


def test_a_source_that_cannot_be_opened_is_a_fault() -> None:
    """An InputError of the catalogue is a fault of the source, beside the other faults."""
    process = Process("P")
    process.source, process.a = Broken(), Add(off=1)
    found = faults_of(process)
    assert len(found) == 2
    assert found[1].startswith("source: file 'a.root' is not there  [test_flow.py:")


def test_faults_behind_a_source_at_fault_are_reported_with_it() -> None:
    """A cycle of modules and an instance that no module makes do not wait until the source can be opened; branches do."""
    process = Process("P")
    process.source = Broken()
    process.a, process.b = Add(of=["b", "some_branch"]), Add(of=["a"])
    process.c = Add(of=["a:other"])
    found = [fault.partition("  [")[0] for fault in faults_of(process)]
    assert found == [
        "source: file 'a.root' is not there",
        "c: reads 'a:other', but module 'a' makes a",
        "modules read one another's products: a <- b <- a",
    ]


def test_a_bug_in_a_module_that_declares_is_a_fault_with_its_label() -> None:
    """An unexpected exception while the flow is resolved names module and method, and does not hide other faults."""

    class Inputs(Add):
        def inputs(self) -> dict[str, tuple[str, ...]]:
            raise ZeroDivisionError("oops")

    class Resolves(OutputModule):
        def resolve(self, offered: Catalog) -> dict[str, tuple[str, ...]]:
            raise KeyError("oops")

        def write(self, event: Event) -> None:
            raise AssertionError("nothing runs")

    process = process_with(a=Inputs(), b=Resolves(), c=Add(off=1))
    found = [fault.partition("  [")[0] for fault in faults_of(process)]
    assert "a: inputs() of Inputs failed: ZeroDivisionError: oops" in found
    assert "b: resolve() of Resolves failed: KeyError: 'oops'" in found
    assert len(found) == 3

    process = Process("P")
    process.source, process.c = Broken(), Add(off=1)
    process.source.error = ZeroDivisionError("oops")
    assert any("source: catalog() of Broken failed: ZeroDivisionError: oops" in fault for fault in faults_of(process))


def test_a_product_of_any_type_flows_between_events() -> None:
    """Per-event modules may hand each other any object."""
    process = Process("P", block=2)
    process.source = numbers(5)
    process.make = Call(lambda event: {"number": event["x"]})
    process.use = Call(lambda event: event["make"]["number"] * 2, of=["make"])
    process.look = Look(of=["use"])
    process.end = EndPath(process.look)
    process.run()
    assert process.look.rows == [(number, 2 * number) for number in range(5)]
