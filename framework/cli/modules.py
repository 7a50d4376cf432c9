"""`evproc modules`: what is installed, and what its parameters are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import text
from .failures import reported

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evproc.framework.description import Description, ParameterDescription
    from evproc.framework.plugins import Plugin, Registry

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def modules(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Show one of them, with its parameters.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Write a JSON schema: of one of them, or of a whole configuration.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")] = False,
) -> None:
    """List the modules and services that are installed, or show one of them."""
    with reported(traceback):
        from evproc.framework.description import describe
        from evproc.framework.plugins import discover, listed

        from .summary import write

        registry = discover()
        if schema:
            _write_schema(registry, name)
            return
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


def _write_schema(registry: Registry, name: str) -> None:
    """Write the schema of a module or service, or of a configuration with all of them."""
    from evproc.framework.schema import configuration_schema, part_schema

    made = part_schema(registry.get(name).load_part(), name) if name else configuration_schema(registry)
    typer.echo(json.dumps(made, indent=2))


def _entry(description: Description) -> dict[str, Any]:
    keys = ("name", "kind", "package", "version", "target")
    return {key: getattr(description, key) for key in keys} | {"doc": description.first_line}


def _broken_entry(plugin: Plugin, wrong: str) -> dict[str, Any]:
    keys = ("name", "package", "version", "target")
    return {key: getattr(plugin, key) for key in keys} | {"error": wrong}


def _all(found: list[Description], broken: list[tuple[Plugin, str]]) -> Iterator[RenderableType]:
    from rich.text import Text

    from evproc.framework.plugins import BUILT_IN, normalized

    from .summary import table

    if not found and not broken:
        yield Text("No modules are installed.")
        return
    kinds = ("source", "producer", "filter", "analyzer", "output", "conditions", "service")
    made = table("name", "kind", "", shrink="")
    for description in sorted(found, key=lambda item: kinds.index(item.kind)):
        origin = (
            "" if normalized(description.package) == BUILT_IN else f"of {description.package} {description.version}"
        )
        said = Text.assemble(description.first_line, (f"  {origin}", "dim")) if origin else description.first_line
        made.add_row(description.name, description.kind, said)
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
        made.add_column("parameter", no_wrap=True)
        made.add_column("type", overflow="fold")
        made.add_column("default", overflow="fold")
        made.add_column("", ratio=1)
        for row in _rows(description.parameters):
            made.add_row(*row)
        yield made
        if any(" (placement)" in row[3] for row in _rows(description.parameters)):
            yield Text("placement: says only where and how fast to run, and changes no results", style="dim")
    flow = Table.grid(padding=(0, 2, 0, 0))
    for title, items in (("reads", _reads(description)), ("makes", _makes(description))):
        for number, item in enumerate(items):
            flow.add_row(Text(title if number == 0 else "", style="bold"), item)
    if flow.row_count:
        yield Text()
        yield flow


def _reads(description: Description) -> list[str]:
    return [f"{key}{_fields(fields)}" for key, fields in description.reads.items()]


def _makes(description: Description) -> list[str]:
    return [f"{key}{f'  {kind}' if kind else ''}" for key, kind in description.makes.items()]


def _fields(fields: tuple[str, ...]) -> str:
    return f" ({text.names(fields)})" if fields else ""


def _rows(parameters: Iterable[ParameterDescription], depth: int = 0) -> Iterator[tuple[str, str, str, str]]:
    for parameter in parameters:
        default = "" if parameter.inner else _shown(parameter.default)
        if parameter.required:
            default = "required,"
        default = f"{default} {parameter.unit}".strip().removesuffix(",")
        note = " (placement)" if parameter.placement else ""
        yield "  " * depth + parameter.name, parameter.type, default, parameter.description + note
        yield from _rows(parameter.inner, depth + 1)


def _shown(default: Any) -> str:
    """A default as it is written in a configuration."""
    if default is None:
        return "none"
    if isinstance(default, str):
        return default or '""'
    return json.dumps(default, ensure_ascii=False)
