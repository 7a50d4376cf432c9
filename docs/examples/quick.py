"""A customise function: what to change for a quick look, whatever the workflow."""

from evproc.framework import Process


def quick(process: Process) -> None:
    """Few events, one at a time."""
    process.source.set(max_events=50)
    process.set_options(block=1)
