"""Train several members at once, where the model is a few linear layers: the bits of ``fit``.

A step of a small model is mostly the cost of calling torch. Here the weights of the members
are stacked and whatever works element by element is called once for all of them. The matrix
products are called member by member, as autograd does: a batched product sums some shapes in
another order. For the same reason every member's part begins at a multiple of 16 bytes.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from quickthorn.client.training import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from quickthorn.client.optimizers import Optimizer
    from quickthorn.client.training import Pace

    # From stacked parameters and, with momentum, their velocities, to their optimizer.
    MakeOptimizer = Callable[[list[torch.Tensor], list[torch.Tensor]], Optimizer]

_ALIGNED = 4  # float32 in 16 bytes


def is_stackable(model: nn.Module) -> bool:
    """Say whether ``model`` is linear layers with ReLU between them, after a flattening.

    And nothing else: no layer stands there twice, no hook changes what it does, and nothing but
    its own weight and bias makes it up.

    >>> is_stackable(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    True
    >>> is_stackable(nn.Sequential(nn.Linear(4, 2)))
    False
    """
    if type(model) is not nn.Sequential or len(model) < 2:  # noqa: PLR2004 - flatten and a layer
        return False
    flatten, *layers = model
    names = [name for name, _ in model.named_parameters()]
    return (
        type(flatten) is nn.Flatten
        and len(layers) % 2 == 1
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in layers[::2])
        and all(type(layer) is nn.ReLU for layer in layers[1::2])
        and all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
        and names == list(model.state_dict())
        and len(names) == 2 * len(layers[::2])
        and not any(map(_is_hooked, [*model.modules(), *model.parameters()]))
    )


def _is_hooked(part: object) -> bool:
    """Return whether somebody has a say in the forward or the backward pass."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(part, name, None) for name in hooks)


def stack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return copies of equal shapes along a new first dimension, each aligned.

    >>> stack([torch.zeros(3), torch.ones(3)])[1].data_ptr() % 16
    0
    """
    stacked = _room(len(tensors), *tensors[0].shape)
    for part, tensor in zip(stacked, tensors, strict=True):
        part.copy_(tensor)
    return stacked


def fit_together(  # noqa: PLR0913 - as much as ``fit``, each for several members
    stacks: list[torch.Tensor],
    velocities: list[torch.Tensor],
    features: torch.Tensor,
    labels: torch.Tensor,
    shares: Sequence[NDArray[np.int64]],
    *,
    pace: Pace,
    make_optimizer: MakeOptimizer,
    seeds: Sequence[int],
) -> list[float]:
    """Train members together, each as ``client.training.fit`` would.

    Parameters
    ----------
    stacks
        The parameters of a stackable model, in its order; one ``stack`` of all members each.
        They are changed in place.
    velocities
        The same of their momenta, or empty.
    features, labels
        (samples, width) and (samples,) of the whole data set.
    shares
        For each member the indices of its samples.
    pace
        Epochs or steps, and batch size.
    make_optimizer
        Called for each step of some members.
    seeds
        One per member, as for ``fit``.

    Returns
    -------
    list of float
        For each member the sum of the losses of all samples as they were seen; not finite
        where its training diverged.

    """
    plans = [_plan(share, pace, seed) for share, seed in zip(shares, seeds, strict=True)]
    gradients = [_room(*tensor.shape) for tensor in stacks]
    own = [tensor.unbind() for tensor in stacks]
    theirs = [tensor.unbind() for tensor in gradients]
    totals = torch.zeros(len(shares), dtype=torch.float64)
    for step in itertools.zip_longest(*plans):
        for size, members in _groups(step).items():
            drawn = [step[member] for member in members]
            losses = _differentiate(
                [[parts[member] for member in members] for parts in own],
                [[parts[member] for member in members] for parts in theirs],
                [features[batch] for batch in drawn],
                torch.stack([labels[batch] for batch in drawn]),
            )
            rows = _rows(members)
            parts = [tensor[rows] for tensor in stacks]
            speeds = [tensor[rows] for tensor in velocities]
            for part, gradient in zip(parts, gradients, strict=True):
                part.grad = gradient[rows]
            make_optimizer(parts, speeds).step()
            if not isinstance(rows, slice):  # else the parts are views of the stacks
                for whole, part in zip([*stacks, *velocities], [*parts, *speeds], strict=True):
                    whole[rows] = part
            totals[rows] += losses.double() * size
    found: list[float] = totals.tolist()
    return found


def _plan(share: NDArray[np.int64], pace: Pace, seed: int) -> Iterator[torch.Tensor]:
    """Return the batches of one member, as indices into the whole data set."""
    steps = pace.local_steps or pace.local_epochs * math.ceil(len(share) / pace.batch_size)
    generator = torch.Generator().manual_seed(seed)
    drawn = itertools.islice(batches(len(share), pace.batch_size, generator), steps)
    return (torch.from_numpy(share[batch]) for batch in drawn)


def _groups(step: Sequence[torch.Tensor | None]) -> dict[int, list[int]]:
    """Return the members that take part in a step by the size of their batch."""
    groups: dict[int, list[int]] = {}
    for member, batch in enumerate(step):
        if batch is not None:
            groups.setdefault(len(batch), []).append(member)
    return groups


def _rows(members: list[int]) -> Any:  # noqa: ANN401 - whatever a tensor takes as an index
    first, last = members[0], members[-1]
    return slice(first, last + 1) if last - first == len(members) - 1 else members


@torch.no_grad()
def _differentiate(
    parameters: list[list[torch.Tensor]],
    gradients: list[list[torch.Tensor]],
    inputs: Sequence[torch.Tensor],
    labels: torch.Tensor,
) -> torch.Tensor:
    """Write the gradients of each member's mean loss; return the (members,) losses.

    What autograd calls for linear layers, ReLU and cross-entropy, and in its order: addmm,
    threshold, log_softmax and nll_loss, then their backward kernels.
    """
    members, size = labels.shape
    weights, biases = parameters[::2], parameters[1::2]
    leaving: list[torch.Tensor] = []  # each layer, all members
    for layer, shifts in zip(weights, biases, strict=True):
        below = torch.relu_(leaving[-1]) if leaving else inputs
        leaving.append(_room(members, size, len(shifts[0])))
        for bias, x, weight, out in zip(shifts, below, layer, leaving[-1], strict=True):
            torch.addmm(bias, x, weight.t(), out=out)
    likelihood = torch.log_softmax(leaving[-1], 2)
    losses = -likelihood.gather(2, labels[:, :, None])[:, :, 0].mean(dim=1)
    share = -torch.ones(()) / size
    seed = torch.zeros_like(likelihood).scatter_(2, labels[:, :, None], share.item())
    kernel = torch.ops.aten._log_softmax_backward_data  # noqa: SLF001 - torch names it so
    gradient = kernel(seed, likelihood, 2, torch.float32)
    for depth in reversed(range(len(weights))):
        gradient = _align(gradient)
        below = leaving[depth - 1] if depth else inputs
        for g, x, out in zip(gradient, below, gradients[2 * depth], strict=True):
            torch.mm(g.t(), x, out=out)
        for total, out in zip(gradient.sum(dim=1), gradients[2 * depth + 1], strict=True):
            out.copy_(total)
        if depth:
            passed = _room(*leaving[depth - 1].shape)
            for g, weight, out in zip(gradient, weights[depth], passed, strict=True):
                torch.mm(g, weight, out=out)
            gradient = torch.ops.aten.threshold_backward(passed, leaving[depth - 1], 0)
    return losses


def _room(count: int, *shape: int) -> torch.Tensor:
    """Return an uninitialized (count, *shape) whose parts begin at multiples of 16 bytes."""
    size = math.prod(shape)
    padded = torch.empty(count, -(-size // _ALIGNED) * _ALIGNED)
    return padded[:, :size].view(count, *shape)


def _align(tensor: torch.Tensor) -> torch.Tensor:
    if math.prod(tensor.shape[1:]) % _ALIGNED == 0 and tensor.is_contiguous():
        return tensor
    return _room(*tensor.shape).copy_(tensor)
