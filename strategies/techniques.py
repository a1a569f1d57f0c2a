"""Which known technique a signal resembles, under the names that MITRE ATLAS and OWASP give."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Identifier to title. MITRE ATLAS as of 2026.07, where AML.T0020 was renamed from "Poison
# Training Data"; OWASP Machine Learning Security Top Ten, the draft of 2023.
TITLES = {
    "ATLAS AML.T0018.000": "Poison AI Model",
    "ATLAS AML.T0020": "Training Data Poisoning",
    "ATLAS AML.T0031": "Erode AI Model Integrity",
    "OWASP ML02:2023": "Data Poisoning Attack",
    "OWASP ML10:2023": "Model Poisoning",
}

_MODEL = ("ATLAS AML.T0018.000", "OWASP ML10:2023")
_DATA = ("ATLAS AML.T0020", "OWASP ML02:2023")

# Training on poisoned data turns an update; what makes it long, short, alike to another one or
# indifferent to the model is done to the update itself.
_BY_SIGNAL = {
    "cosine": _DATA,
    "held_loss": _DATA,
    "held_recall": _DATA,
    "layers": _DATA,
    "spectral": _DATA,
    # What admission refuses serves nobody's model; the signal is `evidence.REFUSAL`.
    "refusal": ("ATLAS AML.T0031",),
}


def techniques_of(signals: Iterable[str]) -> tuple[str, ...]:
    """Return what the signals that stand out resemble, each once, in the order of ``TITLES``.

    A resemblance is no finding: updates do not say whether data or the update was forged.

    >>> techniques_of(["norm", "refusal"])
    ('ATLAS AML.T0018.000', 'ATLAS AML.T0031', 'OWASP ML10:2023')
    """
    found = {name for signal in signals for name in _BY_SIGNAL.get(signal, _MODEL)}
    return tuple(name for name in TITLES if name in found)
