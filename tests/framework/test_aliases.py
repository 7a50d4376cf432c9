"""Aliases: other names for products, without copies."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Alias,
    Analyzer,
    Columns,
    EndPath,
    Event,
    Input,
    InputTag,
    Modifier,
    Path,
    Process,
    Producer,
)
from evproc.framework.documents import format_document
from evproc.framework.loading import dump, load, results_hash
from evproc.framework.testing import EventSource
from tests.framework.core_toys import Add, AddColumns, Later, Look, faults_of, numbers, steps_of


class Pair(Producer):
    """Two products, one of them an array."""

    produces = {"": "int64", "twice": "var * float64"}

    def produce(self, event: Event) -> dict[str, Any]:
        return {"": event.id.event, "twice": np.full(2, event.id.event, float)}


class Same(Analyzer):
    """Whether two names are one object."""

    class Config(Analyzer.Config):
        a: InputTag = "pair:twice"
        b: InputTag = "other:twice"

    same = 0

    def analyze(self, event: Event) -> None:
        self.same += event[self.config.a] is event[self.config.b]


class SamePieces(Analyzer):
    """The same by columns."""

    class Config(Same.Config):
        pass

    same = 0

    def analyze_columns(self, columns: Columns) -> None:
        self.same += np.shares_memory(columns.jagged(self.config.a)[1], columns.jagged(self.config.b)[1])


class Leptons(Producer):
    """Reads a collection by event."""

    produces = "float64"

    class Config(Producer.Config):
        of: InputTag = Input("Lepton", fields=["pt"])

    def produce(self, event: Event) -> float:
        return float(event[self.config.of].pt.sum())


class LeptonColumns(Producer):
    """Reads a collection by columns."""

    produces = "float64"

    class Config(Leptons.Config):
        pass

    def produce_columns(self, columns: Columns) -> Any:
        import awkward as ak

        return ak.sum(columns[self.config.of].pt, axis=1)


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("kind", [Add, AddColumns, Later])
def test_an_alias_is_read_as_the_product(block: int, kind: type[Producer]) -> None:
    """Per event, by columns and in external work, of a module, of a branch and of another alias."""
    process = Process("P", block=block)
    process.source, process.add = numbers(20), Add(plus=1)
    process.sum = Alias("add")
    process.again = Alias("sum")
    process.number = Alias("x")
    process.all = kind(of=["again", "number", "add"])
    process.look = Look(of=["all", "sum"])
    process.select = Path(process.all)
    process.end = EndPath(process.look)
    process.run()
    assert process.look.rows == [(n, 3 * n + 2, n + 1) for n in range(20)]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_an_alias_is_no_copy(block: int) -> None:
    """Both names give the same object, and columns share their memory."""
    process = Process("P", block=block)
    process.source, process.pair, process.other = numbers(20), Pair(), Alias("pair")
    process.same, process.pieces = Same(), SamePieces()
    process.end = EndPath(process.same, process.pieces)
    report = process.run()
    assert process.same.same == 20
    assert process.pieces.same == report.blocks


@pytest.mark.parametrize("module", [Leptons, LeptonColumns])
def test_an_alias_of_a_collection_has_its_fields(module: type[Producer]) -> None:
    """A collection can be read under another name, whole or by its fields."""
    process = Process("P")
    process.source = EventSource([{"Muon": {"pt": [1.0, 2.0], "eta": [0.0, 0.1]}}, {"Muon": {"pt": [], "eta": []}}])
    process.Lepton = Alias("Muon")
    process.sum = module()
    process.look = Look(of=["sum"])
    process.select = Path(process.sum, process.look)
    process.run()
    assert [row[1] for row in process.look.rows] == [3.0, 0.0]


def test_an_alias_changes_no_order_and_no_reading() -> None:
    """What an alias names is read, ordered and released as if it were named itself."""

    def made(name: str) -> Process:
        process = Process("P")
        process.source, process.add = numbers(3), Add()
        process.sum = Alias("add")
        process.all, process.look = Add(of=[name]), Look(of=["all"])
        process.select = Path(process.look, process.all, process.add)
        return process

    assert steps_of(made("sum")) == steps_of(made("add"))


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        (
            Alias("ad"),
            "number: is an alias of 'ad', which nothing makes and events of the test does not hold; did you mean 'add'?",
        ),
        (Alias("number"), "number: is an alias of itself: number -> number"),
        (Alias("loop"), "is an alias of itself"),
    ],
)
def test_a_wrong_alias_is_a_fault(alias: Alias, text: str) -> None:
    """An alias of nothing, or of itself, is found before the job, with the line of the workflow."""
    process = Process("P")
    process.source, process.add = numbers(3), Add()
    process.number, process.loop = alias, Alias("number")
    process.end = EndPath(process.add)
    found = faults_of(process)
    assert any(fault.startswith(text) or text in fault for fault in found), found
    assert all("test_aliases.py:" in fault for fault in found)


def test_an_alias_cannot_hide_what_is_there() -> None:
    """An alias with the name of a branch is a fault."""
    process = Process("P")
    process.source, process.add, process.x = numbers(3), Add(of=["y"]), Alias("add")
    assert any("x: the alias of 'add' has the name of what there is already" in fault for fault in faults_of(process))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_dump_keeps_aliases(tmp_path: FilePath, form: str) -> None:
    """Aliases are in the dump and in the hash; they can be cloned, loaded and replaced as other parts."""
    remote = Modifier("test_alias")
    process = Process("P", [remote])
    process.source, process.add, process.sum = numbers(3), Add(), Alias("add")
    remote.replace(process.sum, Alias("x"))
    data = dump(process, directory=tmp_path)
    assert data["aliases"] == {"sum": "x"}
    del data["modules"]["source"]
    path = tmp_path / f"alias.{form}"
    path.write_text(format_document(data, form))
    again = load(path)
    assert dump(again, directory=tmp_path) == data
    before = results_hash(again.clone())
    assert before == results_hash(again)
    again.sum = Alias("add")
    assert results_hash(again) != before
