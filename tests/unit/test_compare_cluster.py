"""What becomes of a run whose node is gone; a real cluster runs in the end-to-end tests."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.simulations.comparison.cluster import RayCrew
from quickthorn.simulations.comparison.folder import Folder
from quickthorn.simulations.comparison.plan import plan

if TYPE_CHECKING:
    from pathlib import Path

exceptions = pytest.importorskip("ray.exceptions")


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NodeDiedError("the node died"),
        exceptions.LocalRayletDiedError(),
        exceptions.WorkerCrashedError(),
        exceptions.OutOfMemoryError("no memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_run_that_a_cluster_loses_was_interrupted(error: Exception, tmp_path: Path) -> None:
    def lose(_reference: Any) -> None:  # noqa: ANN401 - whatever Ray hands out
        raise error

    folder = Folder(tmp_path)
    (run,) = plan({"grid": {"defense": ["mean"]}})
    claim = contextlib.ExitStack()
    assert claim.enter_context(folder.claim(run.id))
    crew = RayCrew.__new__(RayCrew)  # without a cluster
    crew._ray = SimpleNamespace(
        wait=lambda busy, timeout: (busy, []), get=lose, exceptions=exceptions
    )
    crew._folder, crew._retry, crew._ended = folder, False, []
    crew._busy = {"reference": (run, claim)}

    assert crew.finished(0.0) == [(run, True)]
    outcome = folder.load(run.id)
    assert outcome is not None
    assert outcome.status == "interrupted"
