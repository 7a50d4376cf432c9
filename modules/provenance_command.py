"""`evproc provenance`: where the events of an output file come from, and the configuration that makes the file again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def provenance(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File that evproc wrote: .root or .parquet.")],
    as_json: Annotated[bool, typer.Option("--json", help="Write all of it, as JSON.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="OUT.yaml", help="Write the configuration; `evproc run` makes the file again."
        ),
    ] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")] = False,
) -> None:
    """Show where the events of a file come from: configuration, input files, versions, models and servers."""
    from evproc.framework.cli.failures import reported

    with reported(traceback):
        found = read_provenance(file)
        if config is not None:
            write_configuration(found, config, file)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        elif config is None:
            from evproc.framework.cli.summary import write

            write(_shown(found, file))


def read_provenance(file: str) -> dict[str, Any]:
    """What a file says of where its events come from. Raises InputError if it cannot be read, or says nothing."""
    from evproc.framework.errors import InputError

    text = _parquet_text(file) if file.endswith((".parquet", ".pq")) else _root_text(file)
    if text is None:
        raise InputError(f"'{file}' does not say where its events come from; files that evproc writes do")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"'{file}': what it says of where its events come from is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"'{file}': what it says of where its events come from is no record")
    return found


def _root_text(file: str) -> str | None:
    from .root_reading import open_root
    from .writers import PROVENANCE

    with open_root(file) as directory:
        return str(directory[PROVENANCE]) if PROVENANCE in directory.keys(cycle=False, recursive=False) else None


def _parquet_text(file: str) -> str | None:
    from evproc.framework.errors import InputError

    from .writers import PROVENANCE

    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError("Parquet needs pyarrow; install evproc[parquet]") from None
    try:
        said = pq.read_metadata(file).metadata or {}
    except FileNotFoundError:
        raise InputError(f"'{file}' does not exist") from None
    except Exception as error:
        raise InputError(f"'{file}' cannot be read as Parquet: {error}") from error
    text = said.get(PROVENANCE.encode())
    return None if text is None else text.decode()


def write_configuration(found: dict[str, Any], path: Path, file: str) -> None:
    """Write the configuration that a file was made by, as YAML or JSON. Raises InputError or OutputError."""
    from evproc.framework.documents import format_document
    from evproc.framework.errors import InputError, OutputError

    if "expanded" not in found:
        why = found.get("not_expanded", "it was made by an older version")
        raise InputError(f"'{file}' does not hold its configuration: {why}")
    try:
        path.write_text(format_document(found["expanded"], "json" if path.suffix == ".json" else "yaml"))
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}") from error


def _shown(found: dict[str, Any], file: str) -> list[RenderableType]:
    """The screen: facts in two columns, then a table for each thing of which there are several."""
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(found):
        if value:
            facts.add_row(name, Text(str(value)))
    shown: list[RenderableType] = [Text(file, style="bold"), facts]
    for columns, rows in _tables(found):
        if rows:
            table = Table(*columns, box=None, header_style="dim")
            for row in rows:
                table.add_row(*(Text(cell) for cell in row))
            shown += [Text(""), table]
    return shown


def _facts(found: dict[str, Any]) -> list[tuple[str, Any]]:
    source = found.get("input", {})
    lost = source.get("lost", [])
    events = sum(entries["events"] or 0 for entries in lost)
    unknown = sum(entries["events"] is None for entries in lost)
    gone = [f"{events:,} events"] * bool(events) + ["an unknown number of events"] * bool(unknown)
    return [
        ("process", found.get("process")),
        ("events", f"{found.get('events', 0):,}"),
        ("left out", ", ".join(f"{count:,} by {why}" for why, count in source.get("left_out", {}).items())),
        ("lost", " and ".join(gone)),
        ("failed", f"{found['failed_events']:,} events" if found.get("failed_events") else None),
        ("ended", found.get("ended")),
        ("configuration", found.get("configuration")),
        ("cases", found.get("cases")),
        ("evproc", found.get("evproc")),
        ("python", found.get("python")),
        ("packages", ", ".join(f"{name} {version}" for name, version in found.get("packages", {}).items())),
    ]


def _tables(found: dict[str, Any]) -> Iterator[tuple[list[str], Sequence[tuple[str, ...]]]]:
    """(titles of columns, rows)"""
    source = found.get("input", {})
    files = [(entry["file"], f"{entry['entries']:,}", f"{entry['events']:,}") for entry in source.get("files", [])]
    yield ["input file", "entries", "events"], files
    yield ["friend"], [(file,) for file in source.get("friends", [])]
    lost = [(entry["file"], _entries(entry), entry["reason"]) for entry in source.get("lost", [])]
    yield ["lost", "entries", "reason"], lost
    failures = found.get("failures", [])
    kinds = [(entry["module"], entry["error"], entry["action"], f"{entry['events']:,}") for entry in failures]
    yield ["failed module", "error", "action", "events"], kinds
    read = [
        (label, entry["file"], entry["sha256"][:12]) for label, said in found.get("files", {}).items() for entry in said
    ]
    yield ["read by", "file", "SHA-256"], read
    models = [
        (model["model"], model["version"], server["server"], f"{server['rows']:,}", model["checksum"][:12])
        for said in found.get("services", {}).values()
        for model in said.get("models", [])
        for server in model["servers"]
    ]
    yield ["model", "version", "server", "rows", "checksum"], models


def _entries(lost: dict[str, Any]) -> str:
    return "all" if lost["first"] is None else f"{lost['first']:,} to {lost['last']:,}"
