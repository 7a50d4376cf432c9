# a workflow file defines `process = Process(...)`: here `process` is a function  [process_is_function.py]


def process() -> None:
    """No Process."""
