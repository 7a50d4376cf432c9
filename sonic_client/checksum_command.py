"""`evproc server checksum`: the digests of a model's files, as its configuration states them to clients."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

_BEGIN = "# Checksums of the model's files, by `evproc server checksum`; clients hold their own copy against them."
_END = "# End of the checksums."


def checksum(
    model: Annotated[Path, typer.Argument(help="Folder of a model: config.pbtxt, and a folder for each version.")],
    write: Annotated[bool, typer.Option("--write", help="Put them into config.pbtxt, in place of older ones.")] = False,
) -> None:
    """Print the checksums of a model's files, or write them into its config.pbtxt."""
    from evproc.framework.cli.failures import reported
    from evproc.framework.errors import InputError

    from .model_config import file_digests

    with reported():
        config = model / "config.pbtxt"
        if not config.is_file():
            raise InputError(f"'{model}' is no folder of a model: it has no config.pbtxt")
        digests = file_digests(model)
        if not digests:
            raise InputError(f"model '{model}' has no files: there is no folder of a version, as '{model / '1'}'")
        if not write:
            for key, digest in digests.items():
                typer.echo(f"{key}  {digest}")
            return
        config.write_text(with_digests(config.read_text(), digests))
        typer.echo(f"{config}: {len(digests)} checksum{'s' * (len(digests) > 1)}")


def with_digests(text: str, digests: dict[str, str]) -> str:
    """The text of a config.pbtxt with these digests, in place of those that were written before."""
    text = re.sub(rf"\n*{re.escape(_BEGIN)}.*?{re.escape(_END)}\n?", "\n", text, flags=re.DOTALL)
    lines = [f'parameters {{ key: "{key}" value {{ string_value: "{digest}" }} }}' for key, digest in digests.items()]
    return "\n".join([text.rstrip("\n"), _BEGIN, *lines, _END, ""])
