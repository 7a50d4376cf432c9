"""Modifiers: switches that change the processes that have them."""

from __future__ import annotations

import itertools
from pathlib import Path as FilePath

import pytest

from evproc.framework import EndPath, Modifier, Path, Process
from tests.framework.core_toys import Add, Divisible, Look, numbers

A, B = Modifier("test_a"), Modifier("test_b")
BOTH = Modifier("test_both", A, B)


def process_with(*modifiers: Modifier | str) -> Process:
    process = Process("P", modifiers)
    process.add, process.even = Add(plus=1), Divisible()
    return process


def test_a_modifier_changes_only_a_process_that_has_it() -> None:
    """modify() is as set() for a process with the modifier, and nothing for one without."""
    for modifiers, plus in (((), 1), ((A,), 5), (("test_a",), 5), ((B,), 1), ((A, B), 5)):
        process = process_with(*modifiers)
        A.modify(process.add, plus=5)
        assert process.add.config.plus == plus


def test_conditions_combine() -> None:
    """&, | and ~ of modifiers hold as these words say, for every choice."""
    for has_a, has_b in itertools.product((False, True), repeat=2):
        chosen = frozenset(name for name, has in (("test_a", has_a), ("test_b", has_b)) if has)
        assert (A & B).holds(chosen) == (has_a and has_b)
        assert (A | B).holds(chosen) == (has_a or has_b)
        assert (~A).holds(chosen) == (not has_a)
        assert (A & ~B | ~(A | ~B)).holds(chosen) == (has_a != has_b)
    assert str(A & ~B | B) == "(test_a & ~test_b | test_b)"


def test_a_modifier_may_have_others_with_it() -> None:
    """Choosing a modifier that has others with it chooses them; not the other way round."""
    chosen = frozenset(["test_both"])
    assert A.holds(chosen)
    assert B.holds(chosen)
    assert not BOTH.holds(frozenset(["test_a", "test_b"]))


def test_a_condition_is_not_asked_by_if() -> None:
    """`a and b` instead of `a & b` is an error, not a silent choice of one."""
    with pytest.raises(TypeError, match=r"combine with &, \| and ~"):
        bool(A)


def test_what_is_written_later_holds() -> None:
    """Changes are made in the order of the workflow."""
    process = process_with(A)
    A.modify(process.add, plus=5)
    process.add.set(plus=6)
    assert process.add.config.plus == 6
    A.modify(process.add, plus=7)
    assert process.add.config.plus == 7


def test_a_modifier_replaces_a_part() -> None:
    """replace() puts another module or path under the label, and paths that name it mean the new one."""
    for modifiers, rows in (((), [0, 2, 4]), ((A,), [0, 3])):
        process = process_with(*modifiers)
        process.source, process.look = numbers(6), Look()
        process.select = Path(process.even)
        A.replace(process.even, Divisible(by=3))
        A.replace(process.select, Path(process.even, "add"))
        process.seen = Path(process.even, process.look)
        process.run()
        assert process.look.events == rows
        assert process.select.labels() == (["even", "add"] if modifiers else ["even"])


def test_a_modifier_of_a_fragment_waits_for_the_process() -> None:
    """Changes of a module that belongs to no process are made when it does; the fragment itself stays as it is."""
    add, even = Add(plus=1), Divisible()
    A.modify(add, plus=5)
    (A & B).replace(even, Divisible(by=3))
    names = {"add": add, "even": even, "select": Path(even, add)}
    for modifiers, plus, by in (((), 1, 2), ((A,), 5, 2), ((BOTH,), 5, 3), ((BOTH,), 5, 3)):
        process = Process("P", modifiers)
        module = type(itertools)("a_fragment")
        vars(module).update(names)
        process.load(module)
        assert (process.add.config.plus, process.even.config.by) == (plus, by)
        assert process.select.labels() == ["even", "add"]
    assert add.config.plus == 1


def test_a_modifier_customises() -> None:
    """customise() calls functions on a process that has the modifier."""

    def more(process: Process) -> None:
        process.look = Look()
        process.end = EndPath(process.look)

    first, second = process_with(A), process_with()
    A.customise(first, more)
    A.customise(second, more)
    assert ("look" in first.modules, "look" in second.modules) == (True, False)


def test_a_change_says_which_modifier_made_it() -> None:
    """The origin of a parameter names the modifier and the line."""
    process = process_with(A)
    A.modify(process.add, plus=5)
    origin = process.add.origin_of("plus")
    assert origin.startswith(f"modifier test_a [{FilePath(__file__).name}:")
    A.modify(process.add, plus="much")
    assert process.add.faults()[0].where.startswith("modifier test_a [test_modifiers.py:")


def test_a_part_without_parameters_cannot_be_modified() -> None:
    """modify() of a path, and replace() by a part with a label, are errors."""
    process = process_with(A)
    with pytest.raises(TypeError, match=r"Path has no parameters to modify; use replace"):
        A.modify(Path(), plus=1)
    with pytest.raises(ValueError, match=r"has the label 'add' already"):
        A.replace(process.even, process.add)
