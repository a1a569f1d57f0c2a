"""The few numerical loops that the rules share; each has a slow twin in ``tests/naive``."""
