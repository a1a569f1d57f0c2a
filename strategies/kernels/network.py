"""Selection networks: which pairs of rows to compare so that the wanted ranks come out right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

Pair = tuple[int, int]

# The smallest networks known for these sizes, a comparator being two hexadecimal digits:
# https://bertdobbelaere.github.io/sorting_networks.html (that of 16 has the size of Green's,
# Knuth, The Art of Computer Programming 3, section 5.3.4). The tests run them on all zeros
# and ones.
_KNOWN = {
    9: "03 17 25 48 07 24 38 56 02 13 45 78 14 36 57 01 24 35 68 23 45 67 12 34 56",
    10: "08 19 27 35 46 02 14 58 79 03 24 57 69 01 36 89 15 23 48 67 12 35 46 78 23 45 67 34 56",
    12: (
        "08 17 26 3b 4a 59 01 25 34 69 78 ab 02 16 5a 9b 03 12 46 57 8b 9a 14 35 68 7a"
        " 13 25 69 8a 23 45 67 89 46 57 34 56 78"
    ),
    16: (
        "0d 1c 2f 3e 48 56 7b 9a 05 17 29 34 6d 8e af bc 01 23 45 68 79 ab cd ef"
        " 02 13 4a 5b 67 89 ce df 12 3c 46 57 8a 9b de 14 26 58 7a 9d be 24 36 9c bd"
        " 35 68 79 ac 34 56 78 9a bc 67 89"
    ),
}


@dataclass(frozen=True)
class Network:
    """Comparators, and where the wanted ranks are after them.

    Attributes
    ----------
    pairs
        (i, j) in the order of execution: the smaller value goes to row i, the larger to row j.
    outputs
        The rows that then hold the wanted ranks, in ascending order.

    """

    pairs: tuple[Pair, ...]
    outputs: tuple[int, ...]


def selection(n: int, low: int, high: int) -> Network:
    """Return a network that finds the ranks ``low`` to ``high`` − 1 of n rows.

    Halves are sorted and merged by Batcher's odd-even merge, down to the smallest known
    networks; the sizes of the halves are those that need the fewest comparators.
    Comparators on which no wanted rank depends are left out. A half is finished before the
    other one begins, so that few rows are in use at a time.

    Parameters
    ----------
    n
        How many rows.
    low, high
        The wanted ranks, from 0; 0 <= low < high <= n.

    Returns
    -------
    Network
        The comparators and the rows of the wanted ranks.

    Example
    -------
    >>> selection(3, 1, 2)
    Network(pairs=((1, 2), (0, 1), (2, 1)), outputs=(2,))

    References
    ----------
    Batcher, "Sorting Networks and Their Applications", AFIPS 1968; Knuth, The Art of
    Computer Programming 3, section 5.3.4.

    """
    pairs: list[Pair] = []
    outputs = tuple(_sort(list(range(n)), pairs)[low:high])
    wanted = set(outputs)
    kept: list[Pair] = []
    for pair in reversed(pairs):
        if not wanted.isdisjoint(pair):
            wanted.update(pair)
            kept.append(pair)
    return Network(tuple(reversed(kept)), outputs)


def _sort(rows: list[int], pairs: list[Pair]) -> list[int]:
    """Add the comparators that sort ``rows``; return the rows in ascending order of content."""
    if len(rows) == 1:
        return rows
    known = _known(len(rows))
    if known:
        pairs.extend((rows[i], rows[j]) for i, j in known)
        return rows
    cut = _best_cut(len(rows))[1]
    return _merge(_sort(rows[:cut], pairs), _sort(rows[cut:], pairs), pairs)


def _merge(left: list[int], right: list[int], pairs: list[Pair]) -> list[int]:
    """Add the odd-even merge of two sorted lists of rows; return the rows in ascending order."""
    if not left or not right:
        return left + right
    if len(left) == len(right) == 1:
        pairs.append((left[0], right[0]))
        return left + right
    odd = _merge(left[::2], right[::2], pairs)
    even = _merge(left[1::2], right[1::2], pairs)
    pairs.extend(zip(even, odd[1:], strict=False))
    merged = odd[:1]
    for place in range(max(len(even), len(odd) - 1)):
        merged += even[place : place + 1] + odd[place + 1 : place + 2]
    return merged


@cache
def _known(n: int) -> tuple[Pair, ...]:
    """Return the network of the table for n rows: that of the next size without its last rows."""
    size = min((size for size in _KNOWN if size >= n), default=0) if n >= min(_KNOWN) else 0
    pairs = ((int(pair[0], 16), int(pair[1], 16)) for pair in _KNOWN.get(size, "").split())
    return tuple(pair for pair in pairs if max(pair) < n)


@cache
def _best_cut(n: int) -> tuple[int, int]:
    """Return how many comparators sort n rows, and how many rows the first half then has."""
    if n == 1 or _known(n):
        return len(_known(n)), 0
    return min(
        (_best_cut(cut)[0] + _best_cut(n - cut)[0] + _merge_size(cut, n - cut), cut)
        for cut in range(1, n // 2 + 1)
    )


@cache
def _merge_size(left: int, right: int) -> int:
    """Return how many comparators ``_merge`` adds."""
    if left * right <= 1:
        return left * right
    odds, evens = (left + 1) // 2, left // 2
    others, another = (right + 1) // 2, right // 2
    last = min(evens + another, odds + others - 1)
    return _merge_size(odds, others) + _merge_size(evens, another) + last
