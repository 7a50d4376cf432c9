"""The command `evproc`: finds its commands without importing them, so that `evproc --help` answers at once.

The commands of the core are in a table; others come from packages with entry points of the group `evproc.commands`, a name and
a typer app or a click command. Their help line, if they are not in the table, names the package, because asking them would
import them.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from evproc.framework.errors import EvprocError, PluginError, did_you_mean
from evproc.framework.plugins import COMMANDS, Plugin, discover

_CORE = ("run", "check", "config", "graph", "report", "modules", "new")
_HELP = {
    "run": "Run a workflow.",
    "check": "Find all faults of a workflow; run nothing.",
    "config": "Write the configuration of a workflow, defaults included.",
    "graph": "Show how data flow through a workflow.",
    "report": "Show the summary of a job from its report, or the form of reports.",
    "modules": "List the modules and services that are installed.",
    "new": "Begin a package with a module or service of your own.",
    "plan": "Predict clients per server, speed-up and network need.",
    "inspect": "Show what a data file holds.",
    "provenance": "Show where the events of an output file come from.",
    "scan": "Measure many clients on one server, and find where it is full.",
    "server": "Install, start and ask the inference server.",
}


class Commands(TyperGroup):
    """The commands, imported when called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the core's commands, then those of packages."""
        return [*_CORE, *(name for name in discover(COMMANDS) if name not in _CORE)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command. Raises PluginError if its package is broken."""
        if cmd_name in _CORE:
            return _as_command(importlib.import_module(f"evproc.framework.cli.{cmd_name}").app, cmd_name)
        registry = discover(COMMANDS)
        if cmd_name not in registry:
            return None
        plugin = registry.get(cmd_name)
        return _as_command(plugin.load(), cmd_name, plugin)

    def invoke(self, ctx: Any) -> Any:
        """Call the command. Errors of evproc are shown without a traceback, whoever wrote the command."""
        try:
            return super().invoke(ctx)
        except EvprocError as error:
            from .failures import show

            show(error)
            raise typer.Exit(error.exit_code) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command to call; an unknown one is answered with the nearest."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"no command is named '{args[0]}'{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, without importing any."""
        registry = discover(COMMANDS)
        rows = [(name, _HELP.get(name) or _origin(registry.plugins[name])) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _origin(plugins: list[Plugin]) -> str:
    return "From " + " and ".join(f"{plugin.package} {plugin.version}" for plugin in plugins) + "."


def _as_command(command: Any, name: str, plugin: Plugin | None = None) -> Any:
    """A typer app or a click command as a command of this program."""
    if isinstance(command, typer.Typer):
        command = typer.main.get_command(command)
    if isinstance(command, TyperCommand | TyperGroup):
        command.name = name
        return command
    if not callable(getattr(command, "main", None)):
        raise PluginError(f"{plugin} is neither a typer app nor a click command")
    forward = typer.Typer(add_completion=False, rich_markup_mode=None)

    # A command of another click than typer's own parses for itself.
    @forward.command(
        name, add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
    )
    def call(ctx: typer.Context) -> None:
        command.main(args=list(ctx.args), prog_name=f"evproc {name}")

    return typer.main.get_command(forward)


app = typer.Typer(
    cls=Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)


def _version(wanted: bool) -> None:
    if wanted:
        from evproc import __version__

        typer.echo(f"evproc {__version__}")
        raise typer.Exit


@app.callback()
def evproc(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Event processing for high-energy physics, with inference on remote servers."""


def main() -> None:
    """The entry point of the program."""
    app(prog_name="evproc")
