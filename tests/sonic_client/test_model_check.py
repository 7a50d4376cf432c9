"""A model as servers, a folder and a configuration describe it: what differs is found, and told with where."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from typer.testing import CliRunner

from evproc.framework import Event
from evproc.framework.cli.main import app
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.messages import model_config
from evproc.sonic_client.model_check import Demand, check_model, check_repository, differences
from evproc.sonic_client.model_config import compare_files, file_digest, file_digests, stated_digests, unsupported
from evproc.sonic_client.producer import Client, InferenceProducer
from evproc.sonic_client.repository import read_metadata
from evproc.sonic_client.service import InferenceService
from evproc.sonic_client.tensors import ModelMetadata, TensorSpec
from tests.sonic_client.test_triton_tensors import faults_of

F4 = np.dtype("f4")
X, Y = TensorSpec("x", F4, (2,)), TensorSpec("y", F4, (3,))
NET = ModelMetadata("net", ("1", "9", "10"), "onnxruntime", 8, (X,), (Y,))
ABOUT = "model 'net' on srv"


def parsed(text: str) -> Any:
    """A configuration from its text."""
    return text_format.Parse(text, model_config.ModelConfig())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model with two versions, and files that do not count."""
    made = tmp_path / "net"
    for name, content in {"1/model.onnx": b"one", "2/model.onnx": b"two", "2/data/w.bin": b"w"}.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (made / "2" / "__pycache__").mkdir()
    (made / "2" / "__pycache__" / "x.pyc").write_bytes(b"")
    (made / "2" / ".hidden").write_bytes(b"")
    (made / "config.pbtxt").write_text('backend: "onnxruntime"\nmax_batch_size: 8\n')
    return made


def test_digests_are_those_of_parameters_and_of_the_agent() -> None:
    """Both places of a configuration are read; other parameters and other agents are not digests."""
    config = parsed(
        """
        parameters { key: "SHA256:1/model.onnx" value { string_value: " AB " } }
        parameters { key: "intra_op_thread_count" value { string_value: "2" } }
        model_repository_agents {
            agents { name: "checksum" parameters { key: "MD5:1/labels.txt" value: "cd" } }
            agents { name: "other" parameters { key: "MD5:2/x" value: "ef" } }
        }
        """
    )
    assert stated_digests(config) == {"SHA256:1/model.onnx": "ab", "MD5:1/labels.txt": "cd"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_size: 8", ""),
        ("dynamic_batching {}", ""),
        ("model_transaction_policy { decoupled: true }", "is decoupled"),
        ("sequence_batching {}", "keeps sequences"),
    ],
)
def test_models_that_cannot_be_asked_one_by_one_are_known(text: str, words: str) -> None:
    """Streams and sequences are read off the configuration."""
    assert unsupported(parsed(text)).startswith(words)
    assert bool(unsupported(parsed(text))) == bool(words)


def test_the_files_of_a_version_are_listed(folder: Path) -> None:
    """All files of a version count, but for caches and hidden ones."""
    assert list(file_digests(folder, "2")) == ["SHA256:2/data/w.bin", "SHA256:2/model.onnx"]
    assert len(file_digests(folder)) == 3
    assert file_digests(folder)["SHA256:1/model.onnx"] == hashlib.sha256(b"one").hexdigest()
    assert file_digest(folder / "1" / "model.onnx", "MD5") == hashlib.md5(b"one").hexdigest()


def test_files_are_compared_for_the_version_that_answers(folder: Path) -> None:
    """Digests of other versions are not looked at; one that states nothing of this version is a fault."""
    stated = file_digests(folder)
    assert compare_files(folder, "2", stated, ABOUT) == []
    (folder / "1" / "model.onnx").write_bytes(b"other")
    assert compare_files(folder, "2", stated, ABOUT) == []
    assert "file '1/model.onnx' of model 'net' on srv is another" in compare_files(folder, "1", stated, ABOUT)[0]
    assert "states no checksums of version 3" in compare_files(folder, "3", stated, ABOUT)[0]
    assert "states no checksums" in compare_files(folder, "1", {}, ABOUT)[0]


def test_checksums_are_written_and_replaced(folder: Path) -> None:
    """`evproc server checksum` prints; with --write, older ones in config.pbtxt give way, and all else stays."""
    runner = CliRunner()
    shown = runner.invoke(app, ["server", "checksum", str(folder)])
    assert shown.output.splitlines() == [f"{key}  {digest}" for key, digest in file_digests(folder).items()]
    config = folder / "config.pbtxt"
    before = config.read_text()
    assert runner.invoke(app, ["server", "checksum", str(folder), "--write"]).exit_code == 0
    first = config.read_text()
    assert first.startswith(before)
    assert read_metadata(folder.parent, "net").digests == file_digests(folder)
    assert runner.invoke(app, ["server", "checksum", str(folder), "--write"]).exit_code == 0
    assert config.read_text() == first
    (folder / "2" / "model.onnx").write_bytes(b"new")
    config.write_text(first + "# a remark\n")
    runner.invoke(app, ["server", "checksum", str(folder), "--write"])
    assert config.read_text().count("SHA256:") == 3
    assert "# a remark" in config.read_text()
    assert read_metadata(folder.parent, "net").digests == file_digests(folder)


def test_what_is_no_model_has_no_checksums(tmp_path: Path) -> None:
    """A folder without config.pbtxt, or without a version, is an error with the folder."""
    found = CliRunner().invoke(app, ["server", "checksum", str(tmp_path)])
    assert found.exit_code != 0
    assert "has no config.pbtxt" in found.output
    (tmp_path / "config.pbtxt").write_text("")
    found = CliRunner().invoke(app, ["server", "checksum", str(tmp_path)])
    assert found.exit_code != 0
    assert "has no files" in found.output


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (NET, []),
        (replace(NET, max_batch_size=99, versions=("2",)), []),
        (replace(NET, inputs=(), outputs=()), []),
        (replace(NET, inputs=(replace(X, shape=(-1,)),)), []),
        (replace(NET, max_batch_size=0), ["model 'net' on srv has a batch dimension, and elsewhere none"]),
        (
            replace(NET, inputs=(replace(X, shape=(4,)),)),
            ["input 'x' of model 'net' on srv is x: (2) FP32, and elsewhere x: (4) FP32"],
        ),
        (
            replace(NET, outputs=(replace(Y, name="z"),)),
            [
                "model 'net' on srv has output 'y', which is not there elsewhere",
                "model 'net' on srv has no output 'z', which is there elsewhere",
            ],
        ),
    ],
)
def test_two_descriptions_of_a_model(other: ModelMetadata, words: list[str]) -> None:
    """Names, types and shapes differ or do not; limits, versions and what a configuration leaves out are no differences."""
    assert differences(NET, other, ABOUT, "elsewhere") == words


def test_a_version_that_is_not_there() -> None:
    """The version asked for is among those that the server has; without one, the latest number answers."""
    demand = Demand(Client(model="net", version="3"), {}, {})
    assert check_model(demand, NET, "srv") == ["model 'net' on srv has no version 3; it has 1, 9, 10"]
    demand = Demand(Client(model="net", version="9"), {"x": "float32[2]"}, {})
    assert check_model(demand, NET, "srv") == []


def test_text_for_the_server_that_evproc_brings(folder: Path) -> None:
    """Its Python backend cannot carry BYTES with NumPy 2, which is told before it is started."""
    text = 'backend: "python"\nmax_batch_size: 8\ninput [{ name: "s" data_type: TYPE_STRING dims: [ 1 ] }]\n'
    (folder / "config.pbtxt").write_text(text)
    wrong = check_repository(Demand(Client(model="net"), {"s": "bytes[1]"}, {}), folder.parent)
    assert len(wrong) == (int(np.__version__.split(".")[0]) > 1)
    assert all("tensor of type BYTES, 's', which the server that evproc brings cannot carry" in text for text in wrong)


class Anything(InferenceProducer):
    """Declares nothing of its model."""

    consumes = ("number",)
    produces = "float32"

    def acquire(self, event: Event) -> Any:
        return {"x": np.zeros((1, 2), "f4")}

    def produce(self, event: Event, outputs: Any) -> Any:
        return outputs["y"][0, 0]


def test_servers_that_disagree_are_found_though_a_module_declares_nothing() -> None:
    """Requests must fit every server that may answer them."""
    one = FakeModel("net", [X], [Y], lambda inputs: {"y": inputs["x"]})
    two = replace(one, inputs=[replace(X, shape=(5,))])
    with FakeServer([one]) as first, FakeServer([two]) as second:
        service = InferenceService(servers=[first.url, second.url])
        assert faults_of(service, any=Anything(client=Client(model="net"))) == [
            f"any.client.model: input 'x' of model 'net' on {second.url} is x: (5) FP32, and on another server x: (2) FP32"
        ]
