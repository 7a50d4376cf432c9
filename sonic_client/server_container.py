"""The command line that serves a model repository from a full Triton, in a container: printed, never run.

The image of a Triton of the same version as evproc's own has all backends and uses the GPUs. The repository is
mounted read-only. The port is opened on loopback only: docker and podman publish it so; with apptainer, which
has no network of its own, the server itself listens there only. The container shares the machine's shared
memory, through which clients on the same machine hand over large tensors.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from .embedded_command import left_out, models_to_load

IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"
"""Triton 2.51, of NVIDIA's registry."""
BREAK = " \\\n    "
Engine = Literal["docker", "podman", "apptainer"]


def container_command(
    engine: Engine,
    models: Sequence[str | os.PathLike[str]],
    load: Sequence[str] | None = None,
    *,
    gpu: bool = True,
    port: int = 8001,
    image: str = IMAGE,
    name: str = "default",
) -> list[str]:
    """The words of the command."""
    if not load and left_out(existing := [Path(folder) for folder in models if Path(folder).is_dir()]):
        load = models_to_load(existing, None)  # a full Triton ends if a model that it is to load has no version
    mounted = {f"/models/{number}": Path(folder).absolute() for number, folder in enumerate(models)}
    if engine == "apptainer":
        words = ["apptainer", "exec", *(["--nv"] if gpu else []), "--cleanenv", "--no-home"]
        words += [f"--bind={folder}:{inside}:ro" for inside, folder in mounted.items()]
        words += [image if image.endswith(".sif") or "://" in image or image[0] == "/" else f"docker://{image}"]
        address = "127.0.0.1"
    else:
        nvidia = {"docker": ["--gpus=all"], "podman": ["--device=nvidia.com/gpu=all"]}[engine]
        words = [engine, "run", "--rm", f"--name=evproc-{name}", *(nvidia if gpu else []), "--ipc=host"]
        words += [f"--publish=127.0.0.1:{port}:{port}"]
        words += [f"--volume={folder}:{inside}:ro" for inside, folder in mounted.items()]
        words += [image]
        address = "0.0.0.0"  # noqa: S104  # inside the container; published on loopback only
    words += ["tritonserver", *(f"--model-repository={inside}" for inside in mounted)]
    if load:
        words += ["--model-control-mode=explicit", *(f"--load-model={model}" for model in load)]
    return [*words, f"--grpc-address={address}", f"--grpc-port={port}", "--allow-http=false", "--allow-metrics=false"]


def as_text(words: Sequence[str]) -> str:
    """A command as a shell takes it, one option to a line."""
    text = ""
    for word in words:
        text += f"{'' if not text else ' ' if word[0] != '-' else BREAK}{shlex.quote(word)}"
    return text
