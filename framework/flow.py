"""Who makes what, and who reads it: the data flow of a process, with every fault that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .aliases import offer_aliases, use_aliases
from .config import ANY_FIELD
from .configured import Configured
from .declared_types import wrong_type
from .errors import ConfigurationError, EvprocError, Fault, did_you_mean
from .module import (
    Analyzer,
    Catalog,
    ExternalFilter,
    ExternalProducer,
    ExternalWork,
    Filter,
    Module,
    OutputModule,
    Producer,
    Source,
    products_of,
)
from .path_names import RESULT_TYPES, STATUS, PathResult, result_products
from .paths import expand

if TYPE_CHECKING:
    from .process import Process

KINDS: tuple[tuple[type[Module], str, str], ...] = (
    (Source, "source", "chunks"),
    (Producer, "producer", "produce"),
    (ExternalProducer, "producer", "produce"),
    (Filter, "filter", "filter"),
    (ExternalFilter, "filter", "filter"),
    (Analyzer, "analyzer", "analyze"),
    (OutputModule, "output", "write"),
)


def kind_of(module: Module) -> str:
    """source, producer, filter, analyzer or output; empty for a class that is none of them."""
    return next((name for kind, name, _ in KINDS if isinstance(module, kind)), "")


@dataclass(slots=True)
class Flow:
    """The data flow of a process."""

    offered: Catalog = field(default_factory=lambda: Catalog({}))
    """All products: those of the source and those of the modules."""
    makers: dict[str, str] = field(default_factory=dict)
    """Product -> label of the module that makes it."""
    reads: dict[str, dict[str, tuple[str, ...] | None]] = field(default_factory=dict)
    """Label -> what it may read: product -> None, collection -> its fields."""
    edges: list[tuple[str, str, str]] = field(default_factory=list)
    """(label of the maker, label of the reader, product)."""
    faults: list[Fault] = field(default_factory=list)
    source: str = ""
    """Label of the source."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Alias -> the product that it names."""
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)
    """Label -> the aliases that it reads, and the products that they name."""
    compiled: dict[str, Any] = field(default_factory=dict)
    """Label -> what takes the place of a per-event method that is compiled."""
    results: dict[str, PathResult] = field(default_factory=dict)
    """Products that say what a path has come to."""
    hidden: frozenset[str] = frozenset()
    """Products of the source that have the name of one of these."""

    def products(self, label: str) -> frozenset[str]:
        """The products that a module reads, collections resolved to their fields."""
        return frozenset(key for key, fields in self.reads.get(label, {}).items() if fields is None)

    def source_keys(self, labels: set[str]) -> frozenset[str]:
        """The products of the source that any of these modules reads."""
        return frozenset(key for label in labels for key in self.products(label) if self.makers[key] == self.source)


def resolve(process: Process) -> Flow:
    """Find the maker of everything that every module reads. Opens the source's files; runs nothing."""
    from .plugins import contract_faults

    flow = Flow()
    for part in [*process.modules.values(), *process.services.values()]:
        flow.faults.extend(part.faults())
    flow.faults.extend(process._all_faults())
    sound = {label: module for label, module in process.modules.items() if not module.faults()}
    _find_source(process, sound, flow)
    _offer_results(process, flow)
    contracts: dict[type[Module], list[str]] = {}
    for label, module in process.modules.items():
        if type(module) not in contracts:
            contracts[type(module)] = contract_faults(type(module))
        flow.faults.extend(Fault(text, label, where=module.where) for text in contracts[type(module)])
        _declare_products(label, module, flow)
    offer_aliases(process, flow)
    final = {label for path in process.final_paths.values() for label in expand(path, process).labels}
    for label, module in sound.items():
        if (
            label not in final
            and not isinstance(module, Source)
            and (flow.source or not isinstance(module, OutputModule))
        ):
            _resolve_inputs(label, module, process, flow, flow.offered)
    if final and flow.source:
        offered = _without_producers(process, flow)
        for label in final & sound.keys():
            _resolve_inputs(label, sound[label], process, flow, offered)
    flow.faults.extend(_cycles(flow))
    return flow


def _offer_results(process: Process, flow: Flow) -> None:
    """Offer the results of paths; they hide what an earlier process has written under these names."""
    flow.results = result_products(process.paths)
    flow.hidden = frozenset(flow.results.keys() & flow.makers.keys())
    for key, result in flow.results.items():
        flow.makers[key] = key
        flow.offered.products.pop(key, None)
        flow.offered.products[key] = RESULT_TYPES[result.kind]
    if flow.results:
        for kind in RESULT_TYPES:
            flow.offered.collections[kind] = tuple(process.paths)
        flow.offered.quiet = frozenset(key for key, result in flow.results.items() if result.kind == STATUS)


def _without_producers(process: Process, flow: Flow) -> Catalog:
    """What there is for output modules of final paths: no producer runs for their sake."""
    running = {
        label
        for table in (process.paths, process.end_paths)
        for path in table.values()
        for label in expand(path, process).labels
    }
    before: dict[str, list[str]] = {}
    for maker, reader, _ in flow.edges:
        before.setdefault(reader, []).append(maker)
    pending = [*running]
    while pending:
        new = [maker for maker in before.get(pending.pop(), ()) if maker not in running]
        running.update(new)
        pending.extend(new)
    absent = {key for key, label in flow.makers.items() if label in process.modules and label not in running}
    absent -= {key for key, label in flow.makers.items() if label == flow.source}
    why = "no producer runs for the sake of a final path, and nothing else needs this one; use an EndPath, or put it on a path"
    return replace(
        flow.offered,
        products={key: kind for key, kind in flow.offered.products.items() if key not in absent},
        unreadable={**flow.offered.unreadable, **dict.fromkeys(absent, why)},
    )


def _find_source(process: Process, sound: Mapping[str, Module], flow: Flow) -> None:
    sources = [label for label, module in process.modules.items() if isinstance(module, Source)]
    if len(sources) != 1:
        wrong = (
            f"has several sources: {', '.join(sources)}" if sources else "has no source; add one: process.source = ..."
        )
        flow.faults.append(Fault(f"process '{process.name}' {wrong}", where=process.where))
        return
    source = sound.get(sources[0])
    if not isinstance(source, Source):
        return
    try:
        catalog = source.catalog()
    except ConfigurationError as error:
        flow.faults.extend(error.faults)
    except EvprocError as error:
        flow.faults.append(Fault(str(error), source.label, where=source.where))
    except Exception as error:
        flow.faults.append(_failed(source, "catalog", error))
    else:
        flow.source = source.label
        flow.offered = replace(catalog, products=dict(catalog.products))
        flow.makers = dict.fromkeys(catalog.products, source.label)


def _declare_products(label: str, module: Module, flow: Flow) -> None:
    for key, kind in products_of(module).items():
        if key in flow.makers or key in flow.offered.collections:
            there = f"a branch of the source ({flow.offered.where})" if key in flow.offered.products else "a collection"
            there = "the result of a path" if key in flow.results else there
            flow.faults.append(
                Fault(f"its product '{key}' has the name of {there}; rename the module", label, where=module.where)
            )
        if wrong := wrong_type(kind):
            flow.faults.append(Fault(f"its product '{key}' {wrong}", label, where=module.where))
        flow.makers[key] = label
        flow.offered.products[key] = kind


def _resolve_inputs(label: str, module: Module, process: Process, flow: Flow, offered: Catalog) -> None:
    reads = flow.reads.setdefault(label, {})
    try:
        wanted = module.resolve(offered) if isinstance(module, OutputModule) else module.inputs()
    except ConfigurationError as error:
        flow.faults.extend(error.faults)
        return
    except EvprocError as error:
        flow.faults.append(Fault(str(error), label, where=module.where))
        return
    except Exception as error:
        flow.faults.append(_failed(module, "resolve" if isinstance(module, OutputModule) else "inputs", error))
        return
    for name, fields in wanted.items():
        for problem in _resolve_one(name, fields, process, flow, offered, reads):
            flow.faults.append(Fault(problem, label, where=module.where))
    use_aliases(label, flow)
    for key, inner in reads.items():
        if inner is None:
            flow.edges.append((flow.makers[key], label, key))


def _failed(part: Configured, method: str, error: Exception) -> Fault:
    """The fault of a module or service whose own code is wrong."""
    kind = type(part).__name__
    return Fault(f"{method}() of {kind} failed: {type(error).__name__}: {error}", part.label, where=part.where)


def failed_check(part: Configured, error: Exception) -> Fault:
    """The fault of a module or service whose `check` raised instead of returning faults."""
    return (
        Fault(str(error), part.label, where=part.where)
        if isinstance(error, EvprocError)
        else _failed(part, "check", error)
    )


def _resolve_one(
    name: str,
    fields: tuple[str, ...],
    process: Process,
    flow: Flow,
    offered: Catalog,
    reads: dict[str, tuple[str, ...] | None],
) -> list[str]:
    """Enter one input into `reads`; returns what is wrong with it."""
    if name in offered.products:
        reads[name] = None
        return []
    if name in offered.collections:
        known = offered.collections[name]
        if fields == ANY_FIELD:
            fields = known[:1]
        unknown = [part for part in fields if part not in known]
        chosen = [part for part in fields or known if part in known]
        reads[name] = tuple(chosen)
        reads.update(dict.fromkeys((f"{name}_{part}" for part in chosen), None))
        return [_unknown_field(name, part, offered) for part in unknown]
    if name in offered.unreadable:
        return [f"reads '{name}', which cannot be read: {offered.unreadable[name]}"]
    label = name.partition(":")[0]
    if label in process.modules:
        module = process.modules[label]
        if module.faults():
            return []
        made = ", ".join(products_of(module)) or "no product"
        return [f"reads '{name}', but module '{label}' makes {made}"]
    if not flow.source:
        return []  # it may be a branch: what the source holds is not known, and that has been said
    near = did_you_mean(name, [*offered.products, *offered.collections])
    return [f"reads '{name}', which nothing makes and {offered.where or 'the source'} does not hold{near}"]


def _unknown_field(name: str, part: str, offered: Catalog) -> str:
    reason = offered.unreadable.get(f"{name}_{part}")
    if reason:
        return f"reads '{name}_{part}', which cannot be read: {reason}"
    known = offered.collections[name]
    near = did_you_mean(part, known) or f"; it has {', '.join(sorted(known)[:12])}"
    return f"collection '{name}' has no field '{part}'{near}"


def _cycles(flow: Flow) -> list[Fault]:
    """One fault for each cycle of modules that read one another's products."""
    before: dict[str, list[str]] = {}
    for maker, reader, _ in flow.edges:
        before.setdefault(reader, []).append(maker)
    faults: list[Fault] = []
    seen: set[str] = set()
    for start in before:
        trail: list[str] = []
        pending = [(start, iter(before.get(start, ())))] if start not in seen else []
        while pending:
            label, makers = pending[-1]
            if label not in seen:
                seen.add(label)
                trail.append(label)
            for maker in makers:
                if maker in trail:
                    cycle = [*trail[trail.index(maker) :], maker]
                    faults.append(Fault(f"modules read one another's products: {' <- '.join(cycle)}"))
                elif maker not in seen:
                    pending.append((maker, iter(before.get(maker, ()))))
                    break
            else:
                pending.pop()
                trail.pop()
    return faults


__all__ = ["KINDS", "ExternalWork", "Flow", "kind_of", "resolve"]
