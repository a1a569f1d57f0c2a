"""What every test shares: the host's switches and Hypothesis's profiles."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch use one thread, as a simulation does, and give the others back."""
    import torch  # noqa: PLC0415 - few tests need it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
