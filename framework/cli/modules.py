"""`evproc modules`: what is installed, and what its parameters are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .failures import reported

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from evproc.framework.description import Description, ParameterDescription
    from evproc.framework.plugins import Plugin

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def modules(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Show one of them, with its parameters.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")] = False,
) -> None:
    """List the modules and services that are installed, or show one of them."""
    with reported(traceback):
        from evproc.framework.description import describe
        from evproc.framework.plugins import discover, listed

        from .summary import write

        registry = discover()
        if name:
            plugin = registry.get(name)
            description = describe(plugin.load_part(), plugin)
            if as_json:
                typer.echo(json.dumps(description.to_dict(), indent=2))
            else:
                write(_one(description))
            return
        found: list[Description] = []
        broken: list[tuple[Plugin, str]] = []
        for plugin, part, wrong in listed(registry):
            if part is None:
                broken.append((plugin, wrong))
            else:
                found.append(describe(part, plugin))
        if as_json:
            typer.echo(json.dumps([*map(_entry, found), *(_broken_entry(*item) for item in broken)], indent=2))
        else:
            write(_all(found, broken))


def _entry(description: Description) -> dict[str, Any]:
    keys = ("name", "kind", "package", "version", "target")
    return {key: getattr(description, key) for key in keys} | {"doc": description.first_line}


def _broken_entry(plugin: Plugin, wrong: str) -> dict[str, Any]:
    keys = ("name", "package", "version", "target")
    return {key: getattr(plugin, key) for key in keys} | {"error": wrong}


def _all(found: list[Description], broken: list[tuple[Plugin, str]]) -> Iterator[RenderableType]:
    from rich.text import Text

    from .summary import table

    if not found and not broken:
        yield Text("No modules are installed.")
        return
    kinds = ("source", "producer", "filter", "analyzer", "output", "service")
    made = table("name", "kind", "package", "", shrink="")
    for description in sorted(found, key=lambda item: kinds.index(item.kind)):
        package = f"{description.package} {description.version}"
        made.add_row(description.name, description.kind, package, description.first_line)
    yield made
    for _, wrong in broken:
        yield Text.assemble(("broken: ", "red"), wrong)


def _one(description: Description) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    kind = f"external {description.kind}" if description.external else description.kind
    yield Text.assemble((description.name, "bold"), f"  {kind}, of {description.package} {description.version}")
    yield Text(description.target, style="dim")
    yield Text()
    yield from (Text(line) for line in description.doc.splitlines())
    if description.parameters:
        yield Text()
        made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("parameter", "type", "default"):
            made.add_column(column, overflow="fold")
        made.columns[0].no_wrap = True
        made.add_column("", ratio=1)
        for row in _rows(description.parameters):
            made.add_row(*row)
        yield made
    yield Text()
    yield from _flow("reads", (f"{key}{_fields(fields)}" for key, fields in description.reads.items()))
    yield from _flow("makes", (f"{key}{f'  {kind}' if kind else ''}" for key, kind in description.makes.items()))


def _flow(title: str, items: Iterable[str]) -> Iterator[Text]:
    from rich.text import Text

    for number, item in enumerate(items):
        yield Text.assemble((f"{title if number == 0 else '':<7}", "bold"), item)


def _fields(fields: tuple[str, ...]) -> str:
    return f" ({', '.join(fields)})" if fields else ""


def _rows(parameters: Iterable[ParameterDescription], depth: int = 0) -> Iterator[tuple[str, str, str, str]]:
    for parameter in parameters:
        unit = f" {parameter.unit}" if parameter.unit else ""
        default = "required" if parameter.required else "" if parameter.inner else f"{_shown(parameter.default)}{unit}"
        kind = f"{parameter.type}, {parameter.unit}" if parameter.unit else parameter.type
        note = " (placement)" if parameter.placement else ""
        yield "  " * depth + parameter.name, kind, default, parameter.description + note
        yield from _rows(parameter.inner, depth + 1)


def _shown(default: Any) -> str:
    """A default as it is written in a configuration."""
    if default is None:
        return "none"
    if isinstance(default, str):
        return default or '""'
    return json.dumps(default, ensure_ascii=False)
