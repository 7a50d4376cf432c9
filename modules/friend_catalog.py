"""What friends add to the catalogue of a source, and what keeps them from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evproc.framework import Catalog, ConfigurationError, Fault
from evproc.framework.errors import InputError

from .collections_of import find_collections
from .friend_files import Friend, friend_entries, friend_products


def friend_faults(config: Any, label: str, where: str) -> list[Fault]:
    """Parameters of friends that cannot be together with others."""
    if not config.skip_bad_files:
        return []
    why = "with skip_bad_files the places of events are not known, so that friends cannot be matched by them"
    return [
        Fault(f"{why}; match them by identity", label, f"friends.{number}.match", where)
        for number, friend in enumerate(config.friends)
        if friend.match == "position"
    ]


def add_friends(
    catalog: Catalog, config: Any, identity: Mapping[str, str], entries: int | None, label: str, where: str
) -> Catalog:
    """The catalogue with the products of the friends. Raises ConfigurationError with all that is wrong with them.

    identity: part -> branch of the source; entries: of all its files, if that is known.
    """
    faults: list[Fault] = []
    makers = dict.fromkeys(catalog.products, catalog.where)
    for number, friend in enumerate(config.friends):
        key = f"friends.{number}"
        try:
            faults += [Fault(text, label, key, where) for text in _add(catalog, friend, makers, config.skip_bad_files)]
            if friend.match == "identity" and "event" not in identity:
                why = f"{catalog.where} has no identity of events by which a friend could be matched"
                faults.append(Fault(f"{why}; set match to 'position' if the entries are in step", label, key, where))
            if friend.match == "position" and entries is not None:
                there = friend_entries(friend)
                if there != entries:
                    wrong = f"its files have {there} entries, and those of the source {entries}"
                    faults.append(Fault(f"{wrong}; they cannot be matched by position", label, key, where))
        except InputError as error:
            faults.append(Fault(str(error), label, key, where))
    if faults:
        raise ConfigurationError(faults)
    return catalog


def _add(catalog: Catalog, friend: Friend, makers: dict[str, str], skip_bad: bool) -> list[str]:
    """Add the products of one friend; returns what is wrong with them."""
    layout = friend_products(friend, skip_bad=skip_bad)
    problems: list[str] = []
    for name, kind in layout.types.items():
        product = f"{friend.prefix}{name}"
        if product in makers:
            problems.append(product)
            continue
        makers[product] = layout.where
        catalog.products[product] = _optional(kind) if friend.missing == "absent" else kind
    for name, why in layout.unreadable.items():
        catalog.unreadable.setdefault(f"{friend.prefix}{name}", why)
    if problems:
        shown = ", ".join(f"'{name}'" for name in problems[:5])
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        return [
            f"its products {shown}{more} ({layout.where}) have the names of others ({makers[problems[0]]}); give it a prefix"
            if len(problems) > 1
            else f"its product {shown} ({layout.where}) has the name of another ({makers[problems[0]]}); give it a prefix"
        ]
    for name, fields in find_collections(layout.types, layout.counters).items():
        if f"{friend.prefix}{name}" not in catalog.products and friend.missing != "absent":
            catalog.collections.setdefault(f"{friend.prefix}{name}", fields)
    return []


def _optional(kind: str) -> str:
    """The type of a product that may be None.

    >>> _optional("var * float32")
    'option[var * float32]'
    """
    import awkward as ak

    inner: Any = ak.types.from_datashape(kind, highlevel=False)
    return " ".join(str(ak.types.OptionType(inner)).split())
