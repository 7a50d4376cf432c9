"""Physics producers."""

if __name__ == "producers":
    raise ImportError("import this package as evproc.producers, not as producers")
