"""One run from its claim to its result, in whichever process."""

from __future__ import annotations

import traceback
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.comparison.folder import Outcome
from quickthorn.simulations.scenario import Scenario
from quickthorn.strategies.errors import QuickthornError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quickthorn.simulations.comparison.folder import Folder
    from quickthorn.simulations.record import SimulationRecord

# A run repeats to the bit with the same versions of these; its id does not name them.
_DECIDING = ("numpy", "torch")


def load_engine() -> Callable[[Scenario], SimulationRecord]:
    """Return ``simulate``, with torch on one thread: the same bits for any number of processes."""
    # Imported here: the process that hands out the runs needs no torch.
    import torch  # noqa: PLC0415 - above

    from quickthorn.simulations.engine import simulate  # noqa: PLC0415 - above

    torch.set_num_threads(1)
    return simulate


def execute(run: str, scenario: Mapping[str, Any]) -> Outcome:
    """Simulate a scenario; what it raises becomes its outcome."""
    simulate = load_engine()
    try:
        record = simulate(Scenario.from_table(scenario))
    except Exception as error:  # noqa: BLE001 - any fault is the result of this run, and no other's
        return Outcome(run, "failed", _in_words(error))
    versions = {name: version(name) for name in _DECIDING}
    return Outcome(run, "done", record=record.to_json(), versions=versions)


def do_run(folder: Folder, run: str, scenario: Mapping[str, Any], *, retry: bool) -> bool:
    """Claim a run, simulate it and save the outcome, unless that was done meanwhile.

    Returns
    -------
    bool
        False if another process is at it.

    """
    with folder.claim(run) as mine:
        if mine and is_open(folder.load(run), retry=retry):
            folder.save(execute(run, scenario))
        return mine


def is_open(outcome: Outcome | None, *, retry: bool) -> bool:
    """Tell whether a run has to be done (again)."""
    return outcome is None or outcome.status == "interrupted" or (retry and _failed(outcome))


def _failed(outcome: Outcome) -> bool:
    return outcome.status == "failed"


def _in_words(error: Exception) -> str:
    """Return the error in one line; one that is no error of ours with where it was raised."""
    ours = isinstance(error, QuickthornError)
    frames = [] if ours else traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{where}"
