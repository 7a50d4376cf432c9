"""Resources: what only one module, or only so many calls of one, may use at a time.

The problem. Modules with `threaded` run in threads, for several blocks at once; a library with global state (Fortran, a random
engine, a connection) cannot bear that. A lock in the module would make a thread of the pool wait, and others with it.

The policy. A step that needs resources takes all of them before it begins, or waits as a block waits for anything: parked,
without a thread. It gives them back when it has ended. Whoever holds some is at work and never waits for more, so nothing
can come to a standstill; among those that wait, the oldest block goes first.

    threaded = 2            at most two calls of this module at once: a resource of its own, of two places
    resources = ("geant",)  of all modules that name it only one is at work: a resource of one place

Cost: a set look-up per step and block, for modules that name some; nothing for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module


class Resources:
    """Who holds what, and who waits. Nothing here awaits.

    Invariant: of each resource at most `places` are taken, and nobody who holds some waits.
    """

    def __init__(self, places: Mapping[str, int]) -> None:
        self._free = dict(places)
        self._held: dict[int, Sequence[str]] = {}
        self._waiting: dict[int, Sequence[str]] = {}

    def take(self, holder: int, names: Sequence[str]) -> bool:
        """Take all of some resources, or none and wait; returns which."""
        if not self._fits(names):
            self._waiting[holder] = names
            return False
        self._waiting.pop(holder, None)
        for name in names:
            self._free[name] -= 1
        self._held[holder] = names
        return True

    def give(self, holder: int) -> list[int]:
        """Give back all that is held; returns who waits and may try again, oldest first."""
        for name in self._held.pop(holder, ()):
            self._free[name] += 1
        return [number for number in sorted(self._waiting) if self._fits(self._waiting[number])]

    def _fits(self, names: Sequence[str]) -> bool:
        return all(self._free[name] > 0 for name in names)


def needs_of(module: Module) -> tuple[str, ...]:
    """The resources that a step of a module needs."""
    own = () if thread_limit(module) is None else (f"threads of {module.label}",)
    return (*own, *dict.fromkeys(f"resource {name}" for name in module.resources))


def thread_limit(module: Module) -> int | None:
    """How many calls of a module may be in threads at once; None: no limit but that of the pool."""
    limit = module.threaded
    return None if isinstance(limit, bool) else limit


def places_of(modules: Iterable[Module]) -> dict[str, int]:
    """The resources of some modules, with how many may use each at once."""
    places: dict[str, int] = {}
    for module in modules:
        for name in needs_of(module):
            places[name] = (thread_limit(module) or 1) if name.startswith("threads of ") else 1
    return places


def resource_faults(part: Any, *, external: bool) -> list[str]:
    """What is wrong with `threaded` and `resources` of a class of modules."""
    name, threaded, resources = part.__name__, part.threaded, part.resources
    wrong = []
    if not isinstance(threaded, int) or (not isinstance(threaded, bool) and threaded < 1):
        wrong.append(f"{name}.threaded is True, False, or how many calls may run at once, not {threaded!r}")
    if isinstance(resources, str) or not all(isinstance(one, str) for one in resources):
        wrong.append(f"{name}.resources is a tuple of names, as ('geant',), not {resources!r}")
    elif external and resources:
        wrong.append(
            f"{name} hands out work, many pieces of it at once, so it cannot hold resources ({', '.join(resources)}); "
            "use them in a module with `threaded`, or limit the calls of in_thread by `threaded = 1`"
        )
    return wrong
