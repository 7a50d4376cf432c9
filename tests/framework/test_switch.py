"""SwitchProducer: several cases behind one label."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import pytest

from evproc.framework import (
    ConfigurationError,
    EndPath,
    Event,
    Modifier,
    OutputModule,
    Path,
    Process,
    Producer,
    SwitchProducer,
)
from evproc.framework.documents import format_document
from evproc.framework.loading import dump, load, results_hash
from tests.framework.core_toys import Add, AddColumns, Divisible, Later, Look, faults_of, numbers

WITH = Modifier("test_switch_remote")


class Two(Producer):
    """Makes other products than Add."""

    produces = {"": "int64", "more": "int64"}

    def produce(self, event: Event) -> dict[str, int]:
        return {"": 1, "more": 2}


class Float(Add):
    """Makes a product of another type."""

    produces = "float64"


class Says(OutputModule):
    """Keeps what outputs say of where they come from."""

    def begin_job(self, job: Any) -> None:
        self.provenance = dict(job.provenance)

    def write(self, event: Event) -> None:
        pass


def process_with(switch: SwitchProducer, *modifiers: Modifier, block: int = 7) -> Process:
    process = Process("P", modifiers, block=block)
    process.source, process.energy = numbers(20), switch
    process.look = Look(of=["energy"])
    process.select = Path(process.energy)
    process.end = EndPath(process.look)
    return process


def cases(**choice: Any) -> SwitchProducer:
    return SwitchProducer(local=Add(plus=1), remote=Later(plus=2), columns=AddColumns(plus=3), **choice)


def ran(process: Process) -> list[int]:
    process.run()
    return [value - number for number, value in process.look.rows]


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize(("case", "plus"), [("local", 1), ("remote", 2), ("columns", 3)])
def test_the_chosen_case_decides(case: str, plus: int, block: int) -> None:
    """Consumers see one label, and the case that is chosen makes it, whether it works per event, by columns or outside."""
    process = process_with(cases(case=case), block=block)
    assert ran(process) == [plus] * 20
    unchosen: Any = process.energy.cases["local"]
    assert unchosen.seen == ([] if case != "local" else list(range(20)))


def test_the_first_case_is_the_default() -> None:
    """Without a choice the first case is chosen."""
    assert ran(process_with(cases())) == [1] * 20


def test_a_function_chooses() -> None:
    """A function of the process returns the name of the case, and is the origin of the choice."""

    def by_name(process: Process) -> str:
        return "remote" if process.name == "P" else "local"

    process = process_with(cases(case=by_name))
    assert ran(process) == [2] * 20
    assert process.energy.origin_of("case").startswith("function by_name")


def test_the_choice_can_be_changed_until_the_job_runs() -> None:
    """Setting the case by hand, by -o or by a modifier, and parameters of a case, have their effect; the last one holds."""
    process = process_with(cases())
    process.energy.set(case="remote")
    assert process.modules["energy"] is process.energy.cases["remote"]
    process.override("energy.case", "columns")
    process.override("energy.columns.plus", 9)
    process.energy.set(remote={"plus": 8})
    assert ran(process) == [9] * 20
    with pytest.raises(ConfigurationError, match=r"energy: cannot be changed: process 'P' has run"):
        process.energy.set(case="local")
    with pytest.raises(ConfigurationError, match=r"energy: cannot be changed: process 'P' has run"):
        process.energy.set(**{"local.plus": 3})
    clone = process.clone()
    clone.override("energy.case", "remote")
    assert ran(clone) == [8] * 20
    with_it = process_with(cases(), WITH)
    WITH.modify(with_it.energy, case="remote")
    WITH.modify(with_it.energy.cases["remote"], plus=5)
    assert ran(with_it) == [5] * 20


def test_a_switch_of_a_fragment_can_be_loaded() -> None:
    """A loaded switch is a copy with copies of its cases, and what modifiers do to the cases waits for the process."""
    home = Process("HOME")
    home.energy = cases()
    first = process_with(cases())
    first.load(home, replace=True)
    first.energy.set(case="remote", **{"remote.plus": 7})
    assert ran(first) == [7] * 20
    assert home.energy.config.case == "local"
    assert home.energy.cases["remote"].config.plus == 2


def test_a_switch_can_be_replaced_and_removed() -> None:
    """Replacing or removing the switch takes its case away too."""
    process = process_with(cases())
    process.energy = Add(plus=4)
    assert process.switches == {}
    assert ran(process) == [4] * 20
    process = process_with(cases())
    del process.energy
    assert "energy" not in process.modules


@pytest.mark.parametrize(
    ("switch", "text"),
    [
        (cases(case="remot"), "energy.case: there is no case 'remot'; did you mean 'remote'?"),
        (
            cases(case=lambda process: 1 / 0),
            "energy: function <lambda>, which chooses the case, failed: ZeroDivisionError: division by zero",
        ),
        (
            SwitchProducer(a=Add(), b=Two()),
            "all cases must make the same products, but 'a' and 'b' do not: energy:more: no product of 'a', int64 of 'b'",
        ),
        (SwitchProducer(a=Add(), b=Float()), "energy: int64 of 'a', float64 of 'b'"),
        (SwitchProducer(a=Add(), b=Divisible()), "case 'b' is a filter (Divisible), and only producers can be cases"),
        (SwitchProducer(a=Add(), b=Add(pls=1)), "energy.b.pls: unknown parameter 'pls'; did you mean 'plus'? (Add)"),
    ],
)
def test_wrong_switches_are_faults(switch: SwitchProducer, text: str) -> None:
    """A case that is not there, cases that differ in what they make, and faults of any case are found before the job."""
    found = faults_of(process_with(switch))
    assert any(text in fault for fault in found), found


@pytest.mark.parametrize(
    ("key", "hint"),
    [("plus", "; those of a case are named energy.local.plus"), ("remote_plus", "; did you mean 'remote.plus'")],
)
def test_a_wrong_parameter_of_a_switch_names_the_cases(key: str, hint: str) -> None:
    """-o energy.plus, where the parameter belongs to a case, is answered with the nearest key, or with how it is named."""
    process = process_with(SwitchProducer(local=Add(), remote=Add(plus=2)))
    process.override(f"energy.{key}", 2)
    assert any(fault.startswith(f"energy.{key}: unknown parameter '{key}'{hint}") for fault in faults_of(process))


def test_what_is_no_producer_cannot_be_a_case() -> None:
    """Wrong types of cases and cases that have a label are errors at once."""
    with pytest.raises(TypeError, match=r"cases of a SwitchProducer are producers: a is of type int"):
        SwitchProducer(a=3)
    with pytest.raises(TypeError, match=r"there is none"):
        SwitchProducer()
    process = Process("P")
    process.add = Add()
    with pytest.raises(ValueError, match=r"case 'a' has the label 'add' already; use a clone"):
        SwitchProducer(a=process.add)


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("full", [True, False])
def test_a_dump_keeps_all_cases(tmp_path: FilePath, form: str, full: bool) -> None:
    """A dumped configuration has all cases and the choice, and loads as the same process with the same hash."""
    process = process_with(cases(case="remote"))
    data = dump(process, full=full, directory=tmp_path)
    entry = data["modules"]["energy"]
    assert (entry["type"], entry["case"], list(entry["cases"])) == (
        "SwitchProducer",
        "remote",
        ["local", "remote", "columns"],
    )
    path = tmp_path / f"switch.{form}"
    path.write_text(format_document(json.loads(json.dumps(data)), form))
    again = load(path)
    assert dump(again, full=full, directory=tmp_path) == data
    assert results_hash(again) == results_hash(process)
    again.override("energy.case", "local")
    assert again.modules["energy"].config.plus == 1


def test_the_hash_depends_on_the_chosen_case_alone() -> None:
    """A case that is not chosen changes no results; nor does the switch itself."""
    process, other, bare = process_with(cases()), process_with(cases()), process_with(cases())
    bare.energy = Add(plus=1)
    other.override("energy.remote.plus", 77)
    assert results_hash(process) == results_hash(other) == results_hash(bare)
    other.override("energy.case", "remote")
    assert results_hash(other) != results_hash(process)


def test_outputs_say_which_case_it_was() -> None:
    """The provenance that output modules are given names the case of each switch."""
    process = process_with(cases(case="columns"))
    process.says = Says()
    process.more = EndPath(process.says)
    process.run()
    assert process.says.provenance["cases"] == "energy=columns"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("{type: SwitchProducer}", "energy: a switch has a `case`, a name, and `cases`, a table of modules by name"),
        ("{type: SwitchProducer, case: a, cases: {a: {type: Ad}}}", "energy.cases.a: unknown type"),
        ("{type: SwitchProducer, case: a, cases: {a: 3}}", "energy.cases.a: must be a table with a type, not a int"),
        (
            "{type: SwitchProducer, case: a, csaes: {}, cases: {a: {type: RangeFilter, of: x}}}",
            "energy.csaes: unknown parameter 'csaes' of a switch; it knows case, cases",
        ),
    ],
)
def test_a_wrong_switch_of_a_configuration_is_explained(tmp_path: FilePath, entry: str, text: str) -> None:
    """Wrong shapes and wrong cases in a file are faults with the line."""
    path = tmp_path / "wrong.yaml"
    path.write_text(f"process: W\nmodules:\n  energy: {entry}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    said = [str(fault) for fault in caught.value.faults]
    assert any(text in one and "[wrong.yaml:3]" in one for one in said), said
