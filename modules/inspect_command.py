"""`evproc inspect`: what a ROOT file holds, as evproc sees it: trees, products, types, sizes, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

JSON_VERSION = 1
SHOWN_IN_FULL = 100
"""Branches that are listed one by one; trees with more are shown by collections, unless the tree is named."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="ROOT file; may end in `:tree`.")],
    tree: Annotated[str, typer.Option("--tree", help="Show this tree only, with all of its branches.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")] = False,
) -> None:
    """Show what a data file holds: trees, branches, types, sizes, and what cannot be read."""
    from evproc.framework.cli.failures import reported

    with reported(traceback):
        found = describe_file(file, tree)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
            return
        from evproc.framework.cli.summary import write

        write(_shown(found))


def describe_file(file: str, tree: str = "") -> dict[str, Any]:
    """What a file holds, as plain data; only one tree if it is named. Raises InputError."""
    from .input_files import InputFile, expand_files
    from .root_reading import open_root, tree_names

    (asked, *more) = expand_files([file], tree)
    if more:
        from evproc.framework.errors import InputError

        raise InputError(f"'{file}' stands for {len(more) + 1} files; inspect looks at one")
    directory = open_root(asked.path)
    try:
        kinds = directory.classnames(cycle=False)
        trees = tree_names(directory)
        nbytes = int(directory.file.source.num_bytes)
    finally:
        directory.close()
    names = [asked.tree] if asked.tree else list(trees)
    return {
        "version": JSON_VERSION,
        "file": asked.path,
        "bytes": nbytes,
        "named": bool(asked.tree),
        "trees": [_describe_tree(InputFile(asked.path, name)) for name in names],
        "other": {name: kind for name, kind in kinds.items() if name not in trees},
    }


def _describe_tree(file: Any) -> dict[str, Any]:
    """One tree as plain data."""
    from evproc.framework.errors import InputError

    from .collections_of import find_collections
    from .root_reading import open_reader, survey

    try:
        reader = open_reader(file)
    except InputError as error:
        if "there is no tree" in str(error):
            raise
        return {"name": file.tree, "kind": "?", "entries": 0, "branches": [], "collections": {}, "error": str(error)}
    try:
        branches, unreadable = survey(reader)
    finally:
        reader.close()
    counters = {name: branch.counter for name, branch in branches.items() if branch.counter}
    collections = find_collections({name: branch.type for name, branch in branches.items()}, counters)
    return {
        "name": file.tree,
        "kind": reader.kind,
        "entries": reader.entries,
        "branches": [
            {
                "name": name,
                "type": branch.type,
                "counter": branch.counter,
                "path": branch.path,
                "bytes": branch.uncompressed,
                "bytes_in_file": branch.compressed,
            }
            for name, branch in branches.items()
        ],
        "collections": {name: list(fields) for name, fields in collections.items()},
        "unreadable": unreadable,
    }


def _shown(found: dict[str, Any]) -> Iterator[RenderableType]:
    from rich.text import Text

    from evproc.framework.cli import text

    yield Text.assemble((found["file"], "bold"), f"  {text.size(found['bytes'])}")
    if not found["trees"]:
        yield Text("It holds no trees.")
    for tree in found["trees"]:
        yield Text()
        yield from _shown_tree(tree, found["named"])
    if found["other"] and not found["named"]:
        yield Text()
        others = ", ".join(f"{name} ({kind})" for name, kind in found["other"].items())
        yield Text(f"other objects: {others}", style="dim")


def _shown_tree(tree: dict[str, Any], named: bool) -> Iterator[RenderableType]:
    from rich.text import Text

    from evproc.framework.cli import text
    from evproc.framework.cli.summary import table

    branches, unreadable = tree["branches"], tree.get("unreadable", {})
    title = (
        f"  {tree['kind']}, {text.count(tree['entries'], 'event')}, {text.count(len(branches), 'branch', 'branches')}"
    )
    yield Text.assemble((tree["name"], "bold"), title)
    if "error" in tree:
        yield Text(tree["error"], style="red")
        return
    full = named or len(branches) <= SHOWN_IN_FULL
    if branches:
        made = table("branch", "type", ">in file", ">in memory", ">ratio", shrink="type")
        for row in _rows(tree, full):
            made.add_row(*row)
        yield made
    if not full:
        yield Text(f"--tree {tree['name']} lists all branches", style="dim")
    if unreadable:
        yield Text(f"{text.count(len(unreadable), 'branch', 'branches')} cannot be read:", style="red")
        made = table("branch", "why", shrink="why")
        for name, why in unreadable.items():
            made.add_row(name, why)
        yield made


def _rows(tree: dict[str, Any], full: bool) -> Iterator[tuple[str, ...]]:
    """The rows of the table of a tree: collections with their fields below them, then the rest."""
    from evproc.framework.cli import text

    left = {branch["name"]: branch for branch in tree["branches"]}

    def row(title: str, kind: str, members: list[dict[str, Any]]) -> tuple[str, ...]:
        raw = sum(member["bytes"] for member in members)
        packed = sum(member["bytes_in_file"] for member in members)
        ratio = f"{raw / packed:.1f}" if packed and raw else ""
        return title, kind, text.size(packed), text.size(raw), ratio

    for name, fields in sorted(tree["collections"].items()):
        members = [left.pop(f"{name}_{field}") for field in fields]
        if len(members) == 1:
            left[members[0]["name"]] = members[0]
            continue
        yield row(name, f"collection of {len(fields)} fields", members)
        if full:
            for field, member in zip(fields, members, strict=True):
                yield row(f"  {field}", member["type"], [member])
    for name, branch in left.items():
        yield row(name, branch["type"], [branch])
