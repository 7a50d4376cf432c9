# the function `process` returns a Process, not NoneType  [process_is_function.py]


def process() -> None:
    """No Process."""
