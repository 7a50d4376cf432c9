"""The form of the JSON report of a job: its schema, its description for readers, and reading it back.

All three come from the dataclasses of the report and from the sentences beside their fields, so they cannot differ from it.
Every field is always written. `version` counts the forms: it changes when a field goes or gets another meaning, not when
one is added.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evproc import __version__

from .errors import InputError
from .report import REPORT_VERSION, Report

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema of the report."""
    made = TypeAdapter(Report).json_schema(mode="serialization")
    made["properties"] = {
        "version": {"const": REPORT_VERSION, "description": "The version of this form."},
        **made["properties"],
    }
    for name, part in [("Report", made), *made["$defs"].items()]:
        if part.get("type") == "object":
            texts = _sentences(name)
            for field, entry in part["properties"].items():
                entry.pop("title", None)
                if texts.get(field):
                    entry["description"] = texts[field]
            part["required"] = list(part["properties"])
            part["additionalProperties"] = False
    return {"$schema": DIALECT, "title": f"Report of a job of evproc {__version__}", **_without_title(made)}


def _without_title(made: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in made.items() if key != "title"}


@cache
def _sentences(name: str) -> dict[str, str]:
    """The sentences beside the fields of a dataclass of the report."""
    from . import input_report, report

    for home in (report, input_report):
        for node in ast.parse(inspect.getsource(home)).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return dict(_documented(node.body))
    return {}


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            value = after.value if isinstance(after, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield field.target.id, " ".join(value.value.split())


def described() -> Iterator[tuple[str, str, list[tuple[str, str, str]]]]:
    """For readers: the name of each object of the report, what it is, and (field, type, sentence) for each field."""
    made = schema()
    for name, part in [("Report", made), *made["$defs"].items()]:
        if part.get("type") == "object":
            rows = [(field, _type(entry), entry.get("description", "")) for field, entry in part["properties"].items()]
            yield name, part.get("description", ""), rows


def _type(entry: dict[str, Any]) -> str:
    """The type of a field in short: `integer`, `list of ModuleReport`, `text -> integer`, `integer or null`."""
    if "$ref" in entry:
        return str(entry["$ref"]).rpartition("/")[2]
    if "anyOf" in entry:
        return " or ".join(_type(one) for one in entry["anyOf"])
    if "const" in entry:
        return str(entry["const"])
    if entry.get("type") == "array":
        return f"list of {_type(entry.get('items', {}))}"
    if entry.get("type") == "object" and isinstance(entry.get("additionalProperties"), dict):
        return f"text -> {_type(entry['additionalProperties'])}"
    kind = str(entry.get("type", "anything"))
    return {"string": "text", "object": "text -> anything", "boolean": "true or false"}.get(kind, kind)


def read_report(path: Path) -> Report:
    """The report that `evproc run --report` wrote. Raises InputError."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no JSON: {error}"
        raise InputError(f"cannot read the report '{path}': {reason}") from error
    version = data.pop("version", None) if isinstance(data, dict) else None
    if version != REPORT_VERSION:
        found = f"its version is {version}" if version is not None else "it has no version"
        raise InputError(f"'{path}' is no report of a job of this evproc: {found}, not {REPORT_VERSION}")
    try:
        return TypeAdapter(Report).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"'{path}' is no report of a job: {place}: {first['msg']}") from error
