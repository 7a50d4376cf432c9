"""Workflow files that run with `evproc run`."""

if __name__ == "workflows":
    raise ImportError("import this package as evproc.workflows, not as workflows")
