"""JSON schemas of configurations (draft 2020-12), for editors and for those who write configurations by program.

The schema of a module is that of its entry in a configuration file, `type` included; the schema of a configuration has those
of all that is installed. A class of a file (`my.py:Class`) is not known to a schema: its parameters are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import Options
from .description import kind_of
from .dumping import RECORD, SECTIONS, SWITCH
from .plugins import discover, listed

if TYPE_CHECKING:
    from pydantic import BaseModel

    from .plugins import PartType, Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LABEL = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_OWN = ("unit", "placement", "collection_fields")


def part_schema(part: PartType, name: str) -> dict[str, Any]:
    """The schema of one module or service, as an entry of a configuration."""
    defs: dict[str, Any] = {}
    entry = _entry(part, name, defs)
    return {"$schema": DIALECT, **entry, **({"$defs": defs} if defs else {})}


def configuration_schema(registry: Registry | None = None) -> dict[str, Any]:
    """The schema of a configuration file, with all modules and services that are installed."""
    defs: dict[str, Any] = {}
    kinds: dict[str, list[str]] = {"module": [], "service": []}
    for plugin, part, _ in listed(registry or discover()):
        if part is not None:
            defs[plugin.name] = _entry(part, plugin.name, defs)
            kinds["service" if kind_of(part) == "service" else "module"].append(plugin.name)
    defs[SWITCH] = _switch()
    for kind, names in kinds.items():
        known = [*names, SWITCH] if kind == "module" else names
        defs[kind] = _one_of(kind, known)
    properties: dict[str, Any] = {"process": {"type": "string", "minLength": 1, "description": "name of the process"}}
    properties |= {key: {**_TEXTS, "description": "what the workflow was given; a record"} for key in RECORD}
    properties["options"] = _parameters(Options, "options", defs)
    properties["services"] = _table({"$ref": "#/$defs/service"}, "what the whole job shares, by label")
    properties["modules"] = _table({"$ref": "#/$defs/module"}, "modules by label; the source is one of them")
    for section in SECTIONS[2:]:
        properties[section] = _table(_TEXTS, f"{section.replace('_', ' ')}: labels of modules, by label")
    properties["aliases"] = _table({"type": "string"}, "other names for products: name -> product")
    return {
        "$schema": DIALECT,
        "title": "evproc configuration",
        "type": "object",
        "required": ["process"],
        "properties": properties,
        "additionalProperties": False,
        "$defs": defs,
    }


def _entry(part: PartType, name: str, defs: dict[str, Any]) -> dict[str, Any]:
    schema = _parameters(part.Config, name, defs)
    doc = (part.__doc__ or "").strip().partition("\n")[0]
    return {
        "title": name,
        "description": doc,
        "type": "object",
        "required": ["type", *schema.get("required", [])],
        "properties": {"type": {"const": name, "description": doc}, **schema.get("properties", {})},
        "additionalProperties": False,
    }


def _parameters(block: type[BaseModel], name: str, defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of a block; those of the blocks in it go to `defs`, under names of their own."""
    schema: dict[str, Any] = _tidied(block.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}"))
    defs.update({f"{name}.{key}": inner for key, inner in schema.pop("$defs", {}).items()})
    schema.pop("title", None)
    return schema


def _tidied(schema: Any) -> Any:
    """A schema without marks of our own: the unit goes into the description."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _tidied(value) for key, value in schema.items() if key not in _OWN or isinstance(value, dict)}
    notes = [str(schema["unit"])] if isinstance(schema.get("unit"), str) and schema["unit"] else []
    if schema.get("placement") is True:
        notes.append("changes no results")
    if notes:
        made["description"] = ", ".join([*([made["description"]] if "description" in made else []), *notes])
    if isinstance(made.get("title"), str) and "properties" not in made:
        del made["title"]
    return made


def _one_of(kind: str, names: list[str]) -> dict[str, Any]:
    """An entry whose type decides which schema it is held against."""
    chosen = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"$ref": f"#/$defs/{name}"},
        }
        for name in names
    ]
    other = {"type": "string", "pattern": ":", "description": "package.module:Class or file.py:Class"}
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"anyOf": [{"enum": names}, other], "description": f"which {kind} it is"}},
        "allOf": chosen,
    }


def _switch() -> dict[str, Any]:
    return {
        "title": SWITCH,
        "description": "A producer that is one of several cases.",
        "type": "object",
        "required": ["type", "case", "cases"],
        "properties": {
            "type": {"const": SWITCH},
            "case": {"type": "string", "description": "the case that is chosen"},
            "cases": {**_table({"$ref": "#/$defs/module"}, "producers by name"), "minProperties": 1},
        },
        "additionalProperties": False,
    }


def _table(values: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "propertyNames": _LABEL,
        "additionalProperties": values,
    }
