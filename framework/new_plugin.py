"""A new package with one plug-in: what `evproc new` writes.

The package can be installed and its test passes before anything is changed in it, so that its author starts from something
that works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from .errors import OutputError, PluginError, did_you_mean
from .new_plugin_texts import CODE, PROJECT, README, TESTS, USE
from .plugins import discover

KINDS = tuple(CODE)


@dataclass(frozen=True, slots=True)
class Names:
    """How a plug-in and its package are called."""

    plugin: str
    """The class, and the plug-in: `JetSum`."""
    module: str
    """`jet_sum`."""
    package: str
    """What is imported: `evproc_jet_sum`."""
    project: str
    """What is installed: `evproc-jet-sum`."""


def names_of(name: str) -> Names:
    """The names for `JetSum`, `jet_sum` or `jet-sum`. Raises PluginError if a class cannot be called so."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*", name):
        raise PluginError(f"'{name}' is no name for a module: give one like JetSum or jet-sum, of letters and digits")
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+[0-9]*|[0-9]+", name)
    plugin = name if re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) else "".join(word[0].upper() + word[1:] for word in words)
    module = "_".join(word.lower() for word in words)
    return Names(plugin, module, f"evproc_{module}", f"evproc-{module.replace('_', '-')}")


def write_plugin(kind: str, name: str, folder: Path | None = None) -> list[Path]:
    """Write the package of a new plug-in into `folder` (by default one named like the project, here); returns the files.

    Raises PluginError for a kind that there is none of, a name that cannot be, or is taken by an installed plug-in;
    OutputError if the folder holds something already or cannot be written.
    """
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"; there are {', '.join(KINDS)}"
        raise PluginError(f"nothing new can be a '{kind}'{hint}")
    names = names_of(name)
    taken = discover().plugins.get(names.plugin)
    if taken:
        raise PluginError(f"the name '{names.plugin}' is taken: {taken[0]}")
    place = folder or Path(names.project)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise OutputError(f"'{place}' is there already; nothing was written")
    words = {"plugin": names.plugin, "module": names.module, "package": names.package, "project": names.project}
    words |= {"kind": kind, "folder": str(place), "use": Template(USE[kind]).substitute(plugin=names.plugin)}
    texts = {
        "pyproject.toml": PROJECT,
        "README.md": README,
        f"src/{names.package}/__init__.py": '"""Modules for evproc: $plugin."""\n',
        f"src/{names.package}/py.typed": "",
        f"src/{names.package}/{names.module}.py": CODE[kind],
        f"tests/test_{names.module}.py": TESTS[kind],
    }
    written: list[Path] = []
    try:
        for path, text in texts.items():
            file = place / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(text).substitute(words), encoding="utf-8")
            written.append(file)
    except OSError as error:
        raise OutputError(f"cannot write '{place}': {error.strerror}") from error
    return written
