"""What every test shares: the host's switches and Hypothesis's profiles."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Before the first import of flwr: no telemetry, no look for updates, no installing at run time.
os.environ.update(
    FLWR_TELEMETRY_ENABLED="0",
    FLWR_DISABLE_UPDATE_CHECK="1",
    FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION="1",
)

# A shell that runs the tests in the background makes them, and what they start, deaf to
# interrupts; the tests that interrupt something need it to listen.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that `make test` never fails by luck.
# HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
