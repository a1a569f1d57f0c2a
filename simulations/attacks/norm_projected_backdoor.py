"""A norm-projected backdoor (Sun et al. 2019; Wang et al. 2020): under every clipping radius."""

from __future__ import annotations

from typing import Literal

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.rows import row_norms


def norm_projected_backdoor(
    view: UpdateView, *, radius: float | Literal["median"] = "median"
) -> Forged:
    """Project each own update to a ball, so that clipping leaves it as it is.

        x_i = g_i · min(1, R / ‖g_i‖)

    With R the median of the honest norms, a defense that clips at the median norm of all
    finds its radius where it was and the forged rows on it: whatever they plant gets
    through with full length. The paper projects during training, too; here the update is
    projected once, at the end.

    Parameters
    ----------
    view
        ``own`` (k, d), usually after an attack on data; ``honest`` (h, d).
    radius
        R > 0 in the unit of the updates, or the median norm of the honest updates. Only with
        ``median`` does it need to know these.

    Returns
    -------
    Forged
        (k, d) rows, no state.

    Raises
    ------
    ConfigurationError
        If ``radius`` is not positive.

    Example
    -------
    >>> own = np.array([[30.0, 40.0], [0.3, 0.4]], np.float32)
    >>> norm_projected_backdoor(UpdateView(own=own, honest=own), radius=5.0).rows
    array([[3. , 4. ],
           [0.3, 0.4]], dtype=float32)

    References
    ----------
    Sun et al., "Can You Really Backdoor Federated Learning?", arXiv:1911.07963 (the
    norm-bounded attack); Wang et al., "Attack of the Tails: Yes, You Really Can Backdoor
    Federated Learning", NeurIPS 2020 (projected gradient descent).

    """
    if radius != "median" and radius <= 0:
        msg = f"radius of norm_projected_backdoor must be above 0 or 'median'; got {radius}."
        raise ConfigurationError(msg)
    limit = float(np.median(row_norms(view.honest))) if radius == "median" else radius
    norms = row_norms(view.own)
    factors = np.divide(limit, norms, out=np.ones_like(norms), where=norms > limit)
    return Forged((view.own * factors[:, None]).astype(view.own.dtype))


SPEC = AttackSpec(
    name="norm_projected_backdoor",
    kind="update",
    apply=norm_projected_backdoor,
    knows="all honest updates",
    reference="Sun et al., arXiv:1911.07963; Wang et al., NeurIPS 2020",
    knows_by="radius",
    by_row=True,
)
