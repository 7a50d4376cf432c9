# ModuleNotFoundError: No module named 'analysis_of_last_year'  [import_error.py:2]
import analysis_of_last_year  # noqa: F401  # pyright: ignore[reportMissingImports]
