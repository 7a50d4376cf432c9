"""The core: event data, configuration, schedule, engine, plug-ins and the command line."""

if __name__ == "framework":
    raise ImportError("import this package as evproc.framework, not as framework")
