"""The same questions as `python -m bench`, for pytest-benchmark: to compare two states of the code."""
