"""Modules and services that are installed, found by their entry points.

A package offers a module by an entry point of the group `evproc.modules`: a name, and `package.module:Class`. Built-in modules
are registered in the same way, by evproc's own package. Finding them reads only the metadata of the installed packages, about
10 ms; nothing is imported before it is asked for, so a broken plug-in harms only those who use it.

The environment variable `EVPROC_PLUGINS=a,b` restricts plug-ins to the packages named; empty, it leaves the built-in ones.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import PluginError, did_you_mean
from .method_signatures import constructor_faults, default_faults, method_faults

if TYPE_CHECKING:
    from .module import Module
    from .service import Service

    PartType: TypeAlias = type[Module] | type[Service]

MODULES = "evproc.modules"
COMMANDS = "evproc.commands"
BUILT_IN = "evproc"
SELECTION = "EVPROC_PLUGINS"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of an installed package."""

    name: str
    target: str
    """`package.module:Class`."""
    package: str
    """The name of the distribution."""
    version: str
    group: str

    def __str__(self) -> str:
        return f"plug-in '{self.name}' ({self.target}, of package {self.package} {self.version})"

    def load(self) -> Any:
        """The object that the entry point names. Raises PluginError."""
        try:
            return importlib.metadata.EntryPoint(self.name, self.target, self.group).load()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a plug-in may raise anything, SystemExit included
            raise PluginError(f"{self} cannot be imported: {type(error).__name__}: {error}") from error

    def load_part(self) -> PartType:
        """The class of a module or a service, held against the contract. Raises PluginError."""
        part = self.load()
        wrong = contract_faults(part) or constructor_faults(part)
        if wrong:
            raise PluginError(f"{self} does not keep the contract: {'; '.join(wrong)}")
        return part  # type: ignore[no-any-return]  # contract_faults saw to it


@dataclass(slots=True)
class Registry:
    """The plug-ins of one group, by name."""

    plugins: dict[str, list[Plugin]] = field(default_factory=dict)
    """Name -> the plug-ins of that name; more than one is an error for those who ask for it."""

    def __contains__(self, name: str) -> bool:
        return name in self.plugins

    def __iter__(self) -> Iterator[str]:
        return iter(self.plugins)

    def get(self, name: str) -> Plugin:
        """The plug-in of a name. Raises PluginError if there is none, or more than one."""
        found = self.plugins.get(name, [])
        if not found:
            hint = did_you_mean(name, self.plugins) or "; `evproc modules` lists what is installed"
            raise PluginError(f"no plug-in is named '{name}'{hint}")
        if len(found) > 1:
            packages = " and ".join(f"{plugin.package} {plugin.version} ({plugin.target})" for plugin in found)
            raise PluginError(
                f"the plug-in name '{name}' is taken twice, by {packages}; "
                f"remove one, or name the packages to use in {SELECTION}"
            )
        return found[0]

    def name_of(self, part: type[object]) -> str | None:
        """The name by which a class is registered; None if it is not."""
        for name, found in self.plugins.items():
            if len(found) == 1 and _names(found[0], part):
                return name
        return None


def _names(plugin: Plugin, part: type[object]) -> bool:
    """Whether an entry point names a class; it may do so by another module that re-exports it."""
    module, _, attribute = plugin.target.partition(":")
    if attribute != part.__qualname__:
        return False
    if module == part.__module__:
        return True
    if module.partition(".")[0] != part.__module__.partition(".")[0]:
        return False
    try:
        return plugin.load() is part
    except PluginError:
        return False


def discover(group: str = MODULES) -> Registry:
    """The installed plug-ins of a group."""
    registry = Registry()
    allowed = selection()
    named: dict[int, tuple[str, str]] = {}
    for entry in importlib.metadata.entry_points(group=group):
        dist = entry.dist
        if id(dist) not in named:  # each of the two reads a file, and one package has many entry points
            named[id(dist)] = (dist.name, dist.version) if dist else ("unknown", "")
        package, version = named[id(dist)]
        if normalized(package) != BUILT_IN and allowed is not None and normalized(package) not in allowed:
            continue
        plugin = Plugin(entry.name, entry.value, package, version, group)
        known = registry.plugins.setdefault(entry.name, [])
        if plugin not in known:
            known.append(plugin)
    registry.plugins = dict(sorted(registry.plugins.items(), key=lambda item: item[0].lower()))
    return registry


def selection() -> frozenset[str] | None:
    """The packages that `EVPROC_PLUGINS` names; None if it is not set."""
    text = os.environ.get(SELECTION)
    if text is None:
        return None
    return frozenset(normalized(name) for name in text.split(",") if name.strip())


def normalized(package: str) -> str:
    """A distribution's name in the form that compares equal for all spellings (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package.strip()).lower()


def contract_faults(part: Any) -> list[str]:
    """What keeps a class from being a module or a service that can be run; empty if nothing does."""
    from .config import Block
    from .flow import KINDS
    from .module import ExternalWork, Module
    from .resources import resource_faults
    from .service import Service

    if not isinstance(part, type):
        return [f"it is {_what(part)}, not a class"]
    if not issubclass(part, Module | Service):
        return [f"class {part.__name__} is neither a Module nor a Service"]
    wrong = []
    parameters: Any = part.Config
    if not (isinstance(parameters, type) and issubclass(parameters, Block)):
        wrong.append(f"{part.__name__}.Config must derive from Block (or from the Config of its base class)")
    elif "type" in parameters.model_fields:
        wrong.append(f"{part.__name__}.Config may not have a parameter 'type': that names the class in a configuration")
    else:
        wrong.extend(default_faults(part))
    if issubclass(part, Service):
        return wrong
    kinds = [(kind, method) for kind, _, method in KINDS if issubclass(part, kind)]
    if len(kinds) != 1:
        bases = ", ".join(kind.__name__ for kind, _, _ in KINDS)
        wrong.append(f"{part.__name__} must derive from one of {bases}")
        return wrong
    kind, method = kinds[0]
    wrong.extend(resource_faults(part, external=issubclass(part, ExternalWork)))
    if hasattr(kind, f"{method}_columns"):
        methods = ["acquire", method] if issubclass(kind, ExternalWork) else [method]
        wrong.extend(fault for name in methods if (fault := _one_of_two(part, kind, name)))
    else:
        missing = [name for name in ("catalog", method) if getattr(part, name) is getattr(kind, name)]
        wrong.extend(f"{part.__name__} must define {name}()" for name in missing)
    wrong.extend(method_faults(part))
    return wrong


def _one_of_two(part: type[object], kind: type[object], method: str) -> str:
    """What is wrong with a method and its twin for whole blocks, of which a class defines one."""
    twin = f"{method}_columns"
    for base in part.__mro__[: part.__mro__.index(kind)]:
        mine = [name for name in (method, twin) if name in vars(base)]
        if len(mine) == 2 or (mine == [method] and getattr(part, twin) is not getattr(kind, twin)):
            return f"{part.__name__} defines both {method}() and {twin}(); one of them must go"
        if mine:
            return ""
    return f"{part.__name__} must define {method}() or {twin}()"


def _what(value: object) -> str:
    return f"a {type(value).__name__}"


def listed(registry: Registry) -> Iterable[tuple[Plugin, PartType | None, str]]:
    """Every plug-in with its class, or with what is wrong with it."""
    for name, found in registry.plugins.items():
        for plugin in found:
            try:
                registry.get(name)
                yield plugin, plugin.load_part(), ""
            except PluginError as error:
                yield plugin, None, str(error)
