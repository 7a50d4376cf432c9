"""JSON schemas: they take what evproc takes, and refuse what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from evproc.framework import Alias, ConfigurationError, Process, SwitchProducer
from evproc.framework.cli.main import app
from evproc.framework.documents import format_document, parse_document
from evproc.framework.loading import dump, load
from evproc.framework.plugins import discover
from evproc.framework.schema import configuration_schema, part_schema
from evproc.modules import ArraySource, CountFilter, NtupleOutput, RangeFilter
from evproc.producers.facile import ChargeSumProducer

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted(path for path in (ROOT / "workflows").glob("*.py") if path.stem != "__init__")


@pytest.fixture(autouse=True)
def _path_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading leaves the workflow's folder on sys.path; the tests take it off again."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def whole() -> Draft202012Validator:
    schema = configuration_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", list(discover()))
def test_each_module_has_a_schema_of_its_defaults(name: str) -> None:
    """The schema of every installed module and service is valid, closed, describes each parameter, and takes its defaults."""
    part = discover().get(name).load_part()
    schema = part_schema(part, name)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"].keys() == {"type", *part.Config.model_fields}
    assert all(entry.get("description") for entry in schema["properties"].values())
    assert not [
        error.message
        for error in Draft202012Validator(schema).iter_errors({"type": name})
        if error.validator != "required"
    ]
    assert not Draft202012Validator(schema).is_valid({"type": name, "no_such_parameter": 1})
    assert '"placement"' not in json.dumps(schema)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
@pytest.mark.parametrize("full", [True, False])
def test_the_schema_takes_what_is_dumped(whole: Draft202012Validator, path: Path, full: bool) -> None:
    """Every workflow's dumped configuration is valid."""
    data = json.loads(json.dumps(dump(load(path), full=full)))
    assert [error.message for error in whole.iter_errors(data)] == []


def test_switches_aliases_and_records_are_in_the_schema(whole: Draft202012Validator) -> None:
    """What a configuration keeps beside modules and paths is taken too, and its inside is looked at."""
    process = Process("P", ["a_modifier"])
    process.source = ArraySource()
    process.sum = SwitchProducer(a=ChargeSumProducer(), b=ChargeSumProducer())
    process.other = Alias("sum")
    data = json.loads(json.dumps(dump(process)))
    assert whole.is_valid(data)
    data["modules"]["sum"]["cases"]["a"]["no_such_parameter"] = 1
    assert not whole.is_valid(data)


BASE: dict[str, Any] = {
    "process": "P",
    "options": {"streams": 3},
    "modules": {"cut": {"type": "RangeFilter", "of": "x", "above": 1.5}, "mine": {"type": "my.py:Mine", "any": [1]}},
    "paths": {"select": ["cut"]},
}


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("modules", "cut", "abvoe"), 1.0),
        (("modules", "cut", "above"), "high"),
        (("modules", "cut", "type"), "RangeFliter"),
        (("modules", "cut", "of"), 3),
        (("modules", "cut"), {"of": "x"}),
        (("modules", "cut"), {"type": "RangeFilter"}),
        (("modules", "a b"), {"type": "RangeFilter", "of": "x"}),
        (("options", "streams"), 0),
        (("options", "strems"), 3),
        (("paths", "select"), "cut"),
        (("servces",), {}),
        (("process",), 3),
        (("aliases",), {"a": 3}),
    ],
)
def test_the_schema_refuses_what_loading_refuses(
    whole: Draft202012Validator, tmp_path: Path, keys: tuple[str, ...], value: object
) -> None:
    """Unknown keys and types, wrong types and values out of range are found by the schema, and by evproc."""
    assert whole.is_valid(BASE)
    data = json.loads(json.dumps(BASE))
    del data["modules"]["mine"]
    target = data
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    assert not whole.is_valid(data)
    path = tmp_path / "wrong.yaml"
    path.write_text(format_document(data, "yaml"))
    with pytest.raises(ConfigurationError):
        dump(load(path))


def test_the_command_line_writes_schemas() -> None:
    """`evproc modules NAME --schema` and `evproc modules --schema` write what Python gives."""

    def written(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["modules", *arguments, "--schema"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert written("CountFilter") == part_schema(CountFilter, "CountFilter")
    assert written() == configuration_schema()
    assert CliRunner().invoke(app, ["modules", "CountFliter", "--schema"]).exit_code == 2


def test_units_and_placement_are_said_in_words() -> None:
    """Editors show the description: it has the unit, and whether the parameter can change results."""
    properties = configuration_schema()["properties"]["options"]["properties"]
    assert properties["memory"]["description"].endswith(", MB, changes no results")
    assert "changes no results" not in part_schema(RangeFilter, "RangeFilter")["properties"]["above"]["description"]
    assert part_schema(NtupleOutput, "NtupleOutput")["required"][0] == "type"


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "off",
        "No",
        "y",
        "=",
        "1:30",
        "1:1:3",
        "010",
        "0x1f",
        "1_000",
        "1e3",
        "1:30.5",
        "2012-01-01",
        "~",
        "null",
        "a: b",
    ],
)
def test_other_programs_read_what_is_written(text: str) -> None:
    """A reader of YAML 1.1, as editors and PyYAML are, gets the same texts, numbers and lists."""
    data = {"text": text, "list": [text, 1, 1e-5, 1e300, True, None], text: -3}
    written = format_document(data, "yaml")
    assert yaml.safe_load(written) == data
    assert parse_document(written, "x.yaml", is_json=False).data == data
