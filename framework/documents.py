"""YAML and JSON texts: parsed with the line of each entry, and written so that they read back as they were.

PyYAML speaks YAML 1.1, in which `no` is false, `1:30` is ninety and `1e-3` is a text. Here scalars are those of the core
schema of YAML 1.2, in both directions; and a key that is given twice is a fault, not a silent choice. Texts that a reader of
YAML 1.1 would take for something else are written in quotes, so that other programs read the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

from .errors import Fault

_RESOLVERS = (
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9][0-9_]*)", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.inf|\.nan",
        list("-+.0123456789"),
    ),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
)

_OTHERWISE_IN_1_1 = (
    ("tag:yaml.org,2002:bool", r"(?i:y|yes|n|no|on|off)", list("yYnNoO")),
    (
        "tag:yaml.org,2002:int",
        r"[-+]?(?:0[0-9_]+|0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+)",
        list("-+0123456789"),
    ),
    ("tag:yaml.org,2002:float", r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*", list("-+0123456789")),
    ("tag:yaml.org,2002:timestamp", r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*", list("0123456789")),
    ("tag:yaml.org,2002:value", r"=", ["="]),
)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars; keeps what is given twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                self.repeated.append((str(key.value), key.start_mark.line + 1))
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """YAML 1.2 scalars; lists of scalars on one line, and nothing is an alias of something else."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        scalars = not any(isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=scalars)


for _tag, _pattern, _first in _RESOLVERS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _first)
for _tag, _pattern, _first in _OTHERWISE_IN_1_1:
    _Dumper.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _first)


@dataclass(slots=True)
class Document:
    """A parsed text."""

    data: Any = None
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Keys from the top -> line, where that is known."""
    faults: list[Fault] = field(default_factory=list)


def parse_value(text: str) -> Any:
    """The value of a `key=value` on the command line; nothing is the empty text. Raises ValueError."""
    if not text.strip():
        return ""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(_problem(error)[0]) from None


def parse_document(text: str, name: str, is_json: bool) -> Document:
    """Parse the text of a file; `name` is the file's, for messages. Syntax errors and repeated keys are in the faults."""
    return _parse_json(text, name) if is_json else _parse_yaml(text, name)


def _parse_yaml(text: str, name: str) -> Document:
    document = Document()
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = loader.construct_document(node)
            _note_lines(node, (), document.lines)
    except yaml.YAMLError as error:
        problem, line = _problem(error)
        document.faults.append(Fault(f"not valid YAML: {problem}", where=f"{name}:{line}" if line else name))
    finally:
        loader.dispose()
    for key, line in loader.repeated:
        document.faults.append(Fault(f"'{key}' is given twice", where=f"{name}:{line}"))
    return document


def _problem(error: yaml.YAMLError) -> tuple[str, int]:
    """What PyYAML found, in one line, and the line of the text; 0 if it does not say."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.problem, error.context) if part)
        return said, mark.line + 1 if mark else 0
    return " ".join(str(error).split()), 0


def _note_lines(node: yaml.Node, above: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        here = (*above, str(key.value))
        lines[here] = key.start_mark.line + 1
        _note_lines(value, here, lines)


def _parse_json(text: str, name: str) -> Document:
    document = Document()

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeated = {key for key in keys if keys.count(key) > 1}
        document.faults.extend(Fault(f"'{key}' is given twice", where=name) for key in sorted(repeated))
        return dict(pairs)

    try:
        document.data = json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        document.faults.append(Fault(f"not valid JSON: {error.msg}", where=f"{name}:{error.lineno}"))
    return document


def format_document(data: Any, form: str) -> str:
    """The text of plain data; `form` is `yaml` or `json`."""
    if form == "json":
        return json.dumps(data, indent=2) + "\n"
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=100, allow_unicode=True)
