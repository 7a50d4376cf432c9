# a workflow file defines `process = Process(...)`: it defines no Process  [helper_that_raises.py]


def gain(table: dict[str, float]) -> float:
    """The gain in a table."""
    return table["gain"]
