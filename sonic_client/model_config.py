"""What the configuration of a model (`config.pbtxt`, or the server's answer to ModelConfig) says beside its tensors.

Checksums. A server of the KServe protocol does not tell the digest of a model's file, and gives no file away. But it gives
the configuration that it has loaded, and that may hold digests, in one of two places:

- `parameters { key: "SHA256:1/model.onnx" value { string_value: "..." } }`: parameters are handed through by every server
  and ignored by every backend. `evproc server checksum MODEL` writes them.
- `model_repository_agents { agents { name: "checksum" parameters { key: "MD5:1/model.onnx" value: "..." } } }`: Triton's
  own agent, with which the server itself refuses a file that does not match when it loads the model.

The first says what the owner of the repository wrote, so it finds another version of the model, which is what happens; it
does not find a file that was exchanged beneath it, which only the second does. Where the server is the job's own, the
files are at hand and are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ALGORITHMS = {"MD5": "md5", "SHA256": "sha256"}
"""As they are named in keys, and in hashlib."""


def unsupported(config: Any) -> str:
    """Why requests for a model cannot be answered one by one, as a half sentence; empty if they can."""
    if config.model_transaction_policy.decoupled:
        return "is decoupled: it answers in streams of any length"
    if config.HasField("sequence_batching"):
        return "keeps sequences: its requests depend on each other"
    return ""


def stated_digests(config: Any) -> dict[str, str]:
    """The digests that a configuration states: `ALGORITHM:path` -> hexadecimal digest, in lower case."""
    found = {key: value.string_value for key, value in config.parameters.items()}
    for agent in config.model_repository_agents.agents:
        if agent.name == "checksum":
            found.update(agent.parameters)
    return {
        key: value.strip().lower() for key, value in found.items() if key.split(":", 1)[0] in ALGORITHMS and ":" in key
    }


def file_digest(path: Path, algorithm: str) -> str:
    """The digest of a file, in hexadecimal. Raises OSError, and KeyError for an unknown algorithm."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, ALGORITHMS[algorithm]).hexdigest()


def file_digests(folder: Path, version: str = "") -> dict[str, str]:
    """The digests of the files of a model's version, or of all: `SHA256:path` -> hexadecimal digest, sorted by path.

    folder: that of the model, in which each version is a folder with a number for its name.
    """
    versions = [version] if version else [entry.name for entry in folder.iterdir() if entry.name.isdecimal()]
    files = sorted(
        path
        for name in versions
        for path in (folder / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name[0] != "."
    )
    return {f"SHA256:{path.relative_to(folder).as_posix()}": file_digest(path, "SHA256") for path in files}


def compare_files(folder: Path, version: str, stated: Mapping[str, str], about: str) -> list[str]:
    """The files of a model in a folder, held against the digests that a server states; returns what does not agree.

    version: the one that the server answers with. A server that states nothing of this version has not been compared with
    anything, and that is a fault too.
    """
    wrong = []
    held = 0
    for key, digest in sorted(stated.items()):
        algorithm, name = key.split(":", 1)
        place = Path(name)
        if place.parts[:1] != (version,) and place.parts[:1] and place.parts[0].isdecimal():
            continue  # of another version
        held += 1
        path = folder / place
        if not path.is_file():
            wrong.append(f"{about} has a file '{name}', and '{folder}' has not")
        elif (mine := file_digest(path, algorithm)) != digest:
            wrong.append(
                f"file '{name}' of {about} is another than that in '{folder}': {algorithm} {digest[:12]}.., not {mine[:12]}.."
            )
    if not held:
        wrong.append(
            f"{about} states no checksums of version {version}, so that it cannot be held against '{folder}'; write them into "
            "its config.pbtxt (`evproc server checksum MODEL`), or leave client.files empty"
        )
    return wrong
