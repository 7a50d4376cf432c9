"""The schema of an output file: which branch each product becomes, of which type, and which lists share a counter.

It is fixed once, from the types that products declare and, where one declares nothing, from the first batch of events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evproc.framework.columns import Column, Flat, Jagged

from .casting import Lossy, fit
from .column_types import column_type
from .writers import Group, why_unwritable

IDENTITY = {"run": "uint32", "luminosityBlock": "uint32", "event": "uint64"}
"""The branches that every file has."""
_ILLEGAL = re.compile(r"[^\w\-+]")


@dataclass(slots=True)
class Schema:
    """What is written."""

    branches: dict[str, str]
    """Branch -> type."""
    groups: list[Group] = field(default_factory=list)
    """Collections whose lists share a counter."""
    counters: dict[str, str] = field(default_factory=dict)
    """Counter that the format itself writes -> a branch that it counts."""
    declared: set[str] = field(default_factory=set)
    """Branches whose type was declared."""
    unknown: list[str] = field(default_factory=list)
    """Products without a branch, since nothing tells their type."""

    def fit(self, batch: Mapping[str, Column]) -> dict[str, Column]:
        """The columns of a batch (product -> column) as the branches want them. Raises Lossy."""
        fitted: dict[str, Column] = {}
        for key, column in batch.items():
            branch = branch_name(key)
            if branch not in self.branches:
                continue
            kind = self.branches[branch]
            try:
                fitted[branch] = fit(column, kind, rounding=branch in self.declared)
            except Lossy as error:
                said = "declared" if branch in self.declared else "the type of the first events"
                hint = "" if branch in self.declared else "; declare what its module produces"
                raise Lossy(
                    f"product '{key}' is {column_type(column)}, but its branch is {kind}, {said}: {error}{hint}"
                ) from error
        self._check_counters({branch_name(key): column for key, column in batch.items()}, fitted)
        return fitted

    def _check_counters(self, columns: Mapping[str, Column], fitted: Mapping[str, Column]) -> None:
        """A product with the name of a counter that is written anyhow must be that counter. Raises Lossy."""
        for counter, counted in self.counters.items():
            own, lists = columns.get(counter), fitted[counted]
            if own is None or not isinstance(lists, Jagged):
                continue
            if not is_single(own) or not np.array_equal(own.array(), np.diff(lists.offsets)):
                raise Lossy(
                    f"product '{counter}' has the name of the branch that counts '{counted}', but is something else; "
                    f"keep 'drop {counter}', or use format rntuple or parquet"
                )


def fix_schema(
    form: str,
    keys: Sequence[str],
    types: Mapping[str, str],
    collections: Mapping[str, tuple[str, ...]],
    batch: Mapping[str, Column] | None,
) -> Schema:
    """The schema for the products `keys`. Raises Lossy if the format cannot store the type of one of them.

    types: product -> declared type, where there is one. batch: the first events, None if there are none.
    """
    schema = Schema(dict(IDENTITY), declared=set(IDENTITY))
    for key in keys:
        if key in IDENTITY:
            continue
        kind = types.get(key) or (column_type(batch[key]) if batch else "")
        why = why_unwritable(form, kind) if kind else ""
        if why:
            raise Lossy(f"product '{key}' ({kind}) cannot be written: {why}")
        if not kind:
            schema.unknown.append(key)
            continue
        schema.branches[branch_name(key)] = kind
        if key in types:
            schema.declared.add(branch_name(key))
    if form == "ttree":
        schema.groups = _groups(schema.branches, collections, batch)
        schema.counters = _counters(schema)
        for counter in schema.counters:
            schema.branches.pop(counter, None)
    return schema


def _groups(
    branches: Mapping[str, str], collections: Mapping[str, tuple[str, ...]], batch: Mapping[str, Column] | None
) -> list[Group]:
    """The collections whose lists have the same lengths in the first batch."""
    groups = []
    for name, fields in collections.items():
        members: dict[str, str] = {}
        first: Jagged | None = None
        for inner in fields:
            key = f"{name}_{inner}"
            kind = branches.get(branch_name(key), "")
            if not kind.startswith("var * "):
                continue
            column = batch.get(key) if batch else None
            if isinstance(column, Jagged):
                first = first or column
                if not _same_lengths(first, column):
                    continue
            members[branch_name(key)] = branch_name(inner)
        if members and branch_name(name) not in branches:
            groups.append(Group(branch_name(name), members))
    return groups


def _counters(schema: Schema) -> dict[str, str]:
    """The counters that a TTree gets: one per group, and one for each list that is in none."""
    counters = {f"n{group.name}": next(iter(group.members)) for group in schema.groups}
    grouped = {member for group in schema.groups for member in group.members}
    for branch, kind in schema.branches.items():
        if kind.startswith("var * ") and branch not in grouped:
            counters[f"n{branch}"] = branch
    return counters


def _same_lengths(one: Jagged, other: Jagged) -> bool:
    """Whether the lists of two columns have the same lengths."""
    if one.offsets is other.offsets:
        return True
    return np.array_equal(one.offsets - one.offsets[0], other.offsets - other.offsets[0])


def branch_name(key: str) -> str:
    """The branch that a product is written to.

    >>> branch_name("jets:pt")
    'jets_pt'
    """
    return _ILLEGAL.sub("_", key)


def is_single(column: Column) -> bool:
    """Whether a column has one number per event."""
    return isinstance(column, Flat) and column.values.ndim == 1
