"""General modules: sources, filters, histogram analyzers and output modules."""

if __name__ == "modules":
    raise ImportError("import this package as evproc.modules, not as modules")
