"""What `select` accepts, by the states of paths: the whole truth table of CMSSW's EventSelector (scenario 30)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from evproc.framework.selection import PathState, matches_pattern, parse_selection

PATHS = ["mu_1", "mu_2", "el"]
P, F, X, R = PathState.PASS, PathState.FAIL, PathState.EXCEPTION, PathState.READY

# entry -> the rule, spelled out on the states of the three paths
RULES: dict[str, Callable[[int, int, int], bool]] = {
    "mu_1": lambda a, b, c: a == P,
    "el": lambda a, b, c: c == P,
    "*": lambda a, b, c: P in (a, b, c),
    "mu_*": lambda a, b, c: P in (a, b),
    "mu_?": lambda a, b, c: P in (a, b),
    "e*": lambda a, b, c: c == P,
    "?l": lambda a, b, c: c == P,
    "!mu_1": lambda a, b, c: a == F,
    "!el": lambda a, b, c: c == F,
    "!e*": lambda a, b, c: c == F,
    "!*": lambda a, b, c: a == b == c == F,
    "!mu_*": lambda a, b, c: a == b == F,
    "exception@mu_2": lambda a, b, c: b == X,
    "exception@*": lambda a, b, c: X in (a, b, c),
    "exception@mu_?": lambda a, b, c: X in (a, b),
    "mu_1&noexception": lambda a, b, c: a == P and X not in (a, b, c),
    "*&noexception": lambda a, b, c: P in (a, b, c) and X not in (a, b, c),
    "!el&noexception": lambda a, b, c: c == F and X not in (a, b, c),
    "!mu_*&noexception": lambda a, b, c: a == b == F and X not in (a, b, c),
}
LISTS = [
    *([entry] for entry in RULES),
    *([one, other] for one in RULES for other in RULES if one < other),
    ["mu_1", "!mu_*", "exception@mu_2"],
]
STATES = list(product((R, P, F, X), repeat=3))


@pytest.mark.parametrize("entries", LISTS, ids=" ".join)
def test_the_truth_table(entries: list[str]) -> None:
    """For all states of three paths, an event is selected if the rule of any entry accepts it."""
    selection, problems = parse_selection(entries, PATHS)
    assert problems == []
    columns = dict(zip(PATHS, np.array(STATES, np.uint8).T, strict=True))
    accepted = selection.accepted({path: columns[path] for path in selection.paths})
    assert accepted.dtype == np.bool_
    assert accepted.tolist() == [any(RULES[entry](*row) for entry in entries) for row in STATES]


def test_only_the_paths_that_matter_are_asked_for() -> None:
    """The paths of a selection are those that its entries match; all of them where an exception anywhere matters."""
    assert parse_selection(["el", "!mu_2"], PATHS)[0].paths == ("mu_2", "el")
    assert parse_selection(["el&noexception"], PATHS)[0].paths == ("mu_1", "mu_2", "el")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("mu1", "no path 'mu1'; did you mean 'mu_1'"),
        ("!mu1", "no path 'mu1'; did you mean 'mu_1'"),
        ("exception@zzz", "no path 'zzz'; there are mu_1, mu_2, el"),
        ("tau*", "no path matches 'tau*'; there are mu_1, mu_2, el"),
        ("!tau?", "no path matches 'tau?'; there are mu_1, mu_2, el"),
        ("exeption@el", "'exeption@el': before @ stands only 'exception', not 'exeption'"),
        ("el&noex", "'el&noex': behind & stands only 'noexception', not 'noex'"),
        ("!exception@el", "'!exception@el' has both ! and exception@"),
        ("exception@el&noexception", "contradicts itself"),
        ("", "'' is no selection"),
        ("!", "'!' is no selection"),
        ("mu_1 OR el", "'mu_1 OR el' is no selection"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(entry: str, problem: str) -> None:
    """An entry that is no selection, or that matches no path, is a fault that says what there is."""
    selection, problems = parse_selection([entry, "el"], PATHS)
    assert len(problems) == 1
    assert problem in problems[0]
    assert [criterion.text for criterion in selection.criteria] == ["el"]


def test_a_process_without_paths_has_nothing_to_select() -> None:
    """Also `*` is a fault where there is no path."""
    assert parse_selection(["*"], [])[1] == ["no path matches '*'; the process has no path"]


def test_wildcards_match_whole_names() -> None:
    """`*` is any text, also none; `?` is one letter; everything else is itself."""
    assert matches_pattern("*", "a")
    assert matches_pattern("a*", "a")
    assert not matches_pattern("a?", "a")
    assert not matches_pattern("a", "ab")
    assert not matches_pattern("A", "a")
