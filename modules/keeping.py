"""Which products a source offers, or an output module writes: an ordered list of patterns.

A plain pattern keeps, `drop PATTERN` drops; for each product, the last pattern that matches it decides. `*`, `?` and `[...]`
match as in file names. The name of a collection stands for its fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from evproc.framework.errors import did_you_mean
from evproc.framework.module import Catalog

_DROP = "drop "


def select_products(patterns: Sequence[str], offered: Catalog) -> tuple[list[str], list[str]]:
    """The products that the patterns keep, in the order offered, and what is wrong with the patterns.

    Wildcards pass over what cannot be read; a name without wildcards must be there.
    """
    kept: dict[str, None] = {}
    problems: list[str] = []
    for entry in patterns:
        drops = entry.startswith(_DROP)
        pattern = entry.removeprefix(_DROP).strip()
        matched = _matches(pattern, offered)
        if not matched:
            problem = _no_match(pattern, drops, offered)
            if problem:
                problems.append(problem)
        for name in matched:
            if drops:
                kept.pop(name, None)
            else:
                kept[name] = None
    return [name for name in offered.products if name in kept], problems


def offer_kept(patterns: Sequence[str], offered: Catalog) -> tuple[Catalog, list[str]]:
    """What is left of an offer; the rest counts as what cannot be read, so that who reads it is told why."""
    names, problems = select_products(patterns, offered)
    kept = set(names)
    products = {name: kind for name, kind in offered.products.items() if name in kept}
    collections = {
        name: left
        for name, fields in offered.collections.items()
        if (left := tuple(field for field in fields if f"{name}_{field}" in kept))
    }
    dropped = dict.fromkeys((name for name in offered.products if name not in kept), "the source's `keep` drops it")
    return replace(
        offered, products=products, collections=collections, unreadable=offered.unreadable | dropped
    ), problems


def _matches(pattern: str, offered: Catalog) -> list[str]:
    if pattern in offered.products:
        return [pattern]
    if pattern in offered.collections:
        return [f"{pattern}_{field}" for field in offered.collections[pattern]]
    if not _is_wild(pattern):
        return []
    loud = [
        name for name in offered.products if name not in offered.quiet or pattern.startswith(name.partition("_")[0])
    ]
    return [name for name in loud if fnmatchcase(name, pattern)]


def _no_match(pattern: str, drops: bool, offered: Catalog) -> str:
    """What is wrong with a pattern that matches nothing."""
    if not pattern:
        return "an empty pattern matches nothing"
    if pattern in offered.unreadable:
        return f"'{pattern}' cannot be read: {offered.unreadable[pattern]}"
    if _is_wild(pattern):
        return "" if drops or pattern == "*" else f"no product matches '{pattern}'"
    near = did_you_mean(pattern, [*offered.products, *offered.collections])
    return f"there is no product '{pattern}'{near}"


def _is_wild(pattern: str) -> bool:
    return any(mark in pattern for mark in "*?[")
