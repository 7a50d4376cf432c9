"""Which products form a collection, from their names, types and counters.

NanoAOD writes `nJet`, `Jet_pt`, `Jet_eta`; older ntuples `NMuon`, `Muon_Px`; others vectors with a common prefix and no
counter; scalars share a prefix too (`MET_pt`, `MET_phi`). A counter in the file is proof that lists have equal lengths, a
prefix is only a convention; so counters come first.
"""

from __future__ import annotations

from collections.abc import Mapping


def find_collections(
    products: Mapping[str, str], counters: Mapping[str, str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Collection -> fields, where `Collection_field` is a product.

    products: name -> type. counters: jagged product -> the product that counts it; a counter of one branch alone
    (`nJet_pt`) says nothing. A name that is itself a product is never a collection.

    >>> find_collections({"nJet": "uint32", "Jet_pt": "var * float32", "MET_pt": "float32"}, {"Jet_pt": "nJet"})
    {'Jet': ('pt',), 'MET': ('pt',)}
    """
    counters = {name: counter for name, counter in (counters or {}).items() if counter[1:] != name}
    counting = {*counters.values(), *(f"n{name}" for name, kind in products.items() if kind.startswith("var * "))}
    jagged: dict[str, list[str]] = {}
    flat: dict[str, list[str]] = {}
    for name, kind in products.items():
        prefix = _prefix(name, counters.get(name, ""))
        if not prefix or name in counting or len(prefix) + 1 >= len(name) or prefix in products:
            continue
        group = jagged if kind.startswith("var * ") else flat
        group.setdefault(prefix, []).append(name[len(prefix) + 1 :])
    found = {}
    for prefix in sorted({*jagged, *flat}):
        fields = jagged.get(prefix) or flat[prefix]
        found[prefix] = tuple(_of_one_counter(prefix, fields, counters))
    return found


def _prefix(name: str, counter: str) -> str:
    """The collection that a product belongs to, if any."""
    counted = counter[1:] if counter[:1] in ("n", "N") else ""
    if counted and name.startswith(f"{counted}_"):
        return counted
    return name.partition("_")[0] if "_" in name else ""


def _of_one_counter(prefix: str, fields: list[str], counters: Mapping[str, str]) -> list[str]:
    """The fields that have the same counter as most: lists of other lengths do not belong together."""
    by_counter: dict[str, list[str]] = {}
    for field in fields:
        by_counter.setdefault(counters.get(f"{prefix}_{field}", ""), []).append(field)
    return max(by_counter.values(), key=len)
