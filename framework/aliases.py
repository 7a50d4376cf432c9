"""`Alias`: another name for a product, or for all products of a module, or for a collection of the source.

    process.leptons = Alias("Muon")             # event["leptons"].pt is Muon_pt
    process.energy = Alias("facile")            # energy and energy:quality are facile and facile:quality

The names are resolved before the first event: what reads an alias is given the product itself, so nothing is copied and
nothing is looked up twice. Only modules that read one look at names at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .callers import caller
from .errors import Fault, did_you_mean
from .store import View

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .columns import Column
    from .flow import Flow
    from .process import Process
    from .store import Store


class Alias:
    """Another name for a product: the label that it is given in the process."""

    def __init__(self, of: str) -> None:
        self.of = of
        self.label = ""
        self.where = caller(self)

    def __repr__(self) -> str:
        return f"Alias({self.of!r})"


class AliasedView(View):
    """A view of a module that reads aliases."""

    __slots__ = ("names",)

    names: Mapping[str, str]

    def __missing__(self, key: str) -> Any:
        name = self.names.get(key)
        if name is None:
            return super().__missing__(key)
        values = self[key] = super().__missing__(name)
        return values

    def column(self, key: str, index: Any) -> Column:
        """The column of a product, by any of its names."""
        return self.store.column(self.names.get(key, key), index)


class AliasNames:
    """Makes the views of one module: what it may read, and what its names stand for."""

    def __init__(self, allowed: Mapping[str, tuple[str, ...] | None], names: Mapping[str, str]) -> None:
        self.allowed: dict[str, tuple[str, ...] | None] = {**allowed, **dict.fromkeys(names)}
        self.names = names

    def __call__(self, store: Store, allowed: object, label: str, *rest: Any) -> AliasedView:
        """A view of a block."""
        view = AliasedView(store, self.allowed, label, *rest)
        view.names = self.names
        return view


def offer_aliases(process: Process, flow: Flow) -> None:
    """Offer the products that aliases name under these names too. Wrong aliases become faults."""
    offered = flow.offered
    for label, alias in process.aliases.items():
        target, seen = alias.of, [label]
        while target in process.aliases and target not in seen:
            seen.append(target)
            target = process.aliases[target].of
        if target in seen:
            around = " -> ".join([*seen, target])
            flow.faults.append(Fault(f"is an alias of itself: {around}", label, where=alias.where))
            continue
        if label in offered.products or label in offered.collections:
            wrong = "has the name of what there is already; rename it"
            flow.faults.append(Fault(f"the alias of '{target}' {wrong}", label, where=alias.where))
            continue
        names = {f"{label}{key.removeprefix(target)}": key for key in offered.products if _belongs(key, target)}
        if target in offered.collections:
            offered.collections[label] = offered.collections[target]
            names |= {f"{label}_{field}": f"{target}_{field}" for field in offered.collections[target]}
        elif not names:
            _note_unknown(process, flow, alias, target)
            continue
        flow.aliases |= names
        offered.products.update({name: offered.products[key] for name, key in names.items()})


def _belongs(key: str, target: str) -> bool:
    return key == target or key.startswith(f"{target}:")


def _note_unknown(process: Process, flow: Flow, alias: Alias, target: str) -> None:
    module = process.modules.get(target.partition(":")[0])
    if not flow.source or (module is not None and module.faults()):
        return  # what it makes is not known, and that has been said
    if target in flow.offered.unreadable:
        why = f", which cannot be read: {flow.offered.unreadable[target]}"
    else:
        why = did_you_mean(target, [*flow.offered.products, *flow.offered.collections])
        why = f", which nothing makes and {flow.offered.where or 'the source'} does not hold{why}"
    flow.faults.append(Fault(f"is an alias of '{target}'{why}", alias.label, where=alias.where))


def use_aliases(label: str, flow: Flow) -> None:
    """Let a module read, under the aliases that it names, the products themselves."""
    reads = flow.reads[label]
    names = {key: flow.aliases[key] for key, fields in reads.items() if fields is None and key in flow.aliases}
    if names:
        flow.renamed[label] = names
        for name, key in names.items():
            del reads[name]
            reads[key] = None
