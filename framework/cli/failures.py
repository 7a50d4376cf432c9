"""How errors are shown: one block on stderr, with what caused it, and an exit code by whose fault it is."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from evproc.framework.errors import EvprocError

INTERRUPTED = 130
EVENTS_FAILED = 7
"""The job ended well, but modules had failed on some events, and its policy was to go on."""
INTERNAL = 70
_FRAMEWORK = str(Path(__file__).resolve().parent.parent)
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


@contextmanager
def reported(full: bool = False) -> Iterator[None]:
    """Show an error and end with its exit code; `full` adds Python's whole traceback."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Who read our output has had enough; nothing more can be written there, not even by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except EvprocError as error:
        show(error, full)
        raise typer.Exit(error.exit_code) from None
    except Exception as error:
        show(error, full)
        raise typer.Exit(INTERNAL) from None


def show(error: Exception, full: bool = False) -> None:
    """Write an error and its causes to stderr."""
    if full:
        typer.echo("".join(traceback.format_exception(error)), err=True)
    known = isinstance(error, EvprocError)
    text = str(error) if known else f"unexpected {_described(error, inside=True)}"
    typer.echo(f"{typer.style('error:', fg='red', bold=True)} {text}", err=True)
    cause = _cause(error)
    seen: list[BaseException] = [error]  # an error may be its own cause
    while cause is not None and cause not in seen:
        seen.append(cause)
        place = _place(cause)
        foreign = not isinstance(cause, EvprocError) and "\n" in str(cause)
        if foreign:
            pass  # a library's page of details: our error has its words already, and --traceback has the rest
        elif str(cause) not in text:
            typer.echo(f"  because {_described(cause)}", err=True)
        elif place and place not in text:
            typer.echo(f"  raised at {place}", err=True)
        text += _described(cause)
        cause = _cause(cause)
    if not known and not full:
        typer.echo("This should not happen; please report it with the output of --traceback.", err=True)


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _described(error: BaseException, inside: bool = False) -> str:
    """An error's class, message and place."""
    name = "" if isinstance(error, EvprocError) else f"{type(error).__name__}: "
    place = _place(error, inside)
    return f"{name}{error}  [{place}]" if place else f"{name}{error}"


def _place(error: BaseException, inside: bool = False) -> str:
    """File and line where an error was raised: in the user's code, else in a package, else (if `inside`) in ours."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    outside = [frame for frame in frames if not str(Path(frame.filename).resolve()).startswith(_FRAMEWORK)]
    packaged = [frame for frame in outside if "site-packages" in frame.filename]
    own = [frame for frame in outside if frame not in packaged and not frame.filename.startswith(_STANDARD_LIBRARY)]
    ours = [frame for frame in frames if frame not in outside] if inside else []
    best = own or packaged or ours
    return f"{Path(best[-1].filename).name}:{best[-1].lineno}" if best else ""
