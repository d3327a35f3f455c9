"""Which samples of an optimizer step share a micro-batch: bins of whole samples within a token budget.

Decided from the samples' lengths alone, on every rank alike, so no rank has to ask another. Every rank gets the
same number of bins, and bins that run at the same time hold about the same number of tokens: under ZeRO-3 all
ranks wait for the slowest.
"""

import bisect
import heapq

import numpy as np


def pack(lengths: np.ndarray, budget: int, world_size: int) -> list[list[int]]:
    """Bins of sample indices for padding-free micro-batches: tokens of a bin <= budget, all bins of like size.

    lengths: tokens of each sample, none above `budget`. Returns a multiple of `world_size` bins, the fullest
    first; bin i belongs to rank i % world_size. Trailing bins may be empty where there are few samples.

    Best-fit decreasing (Johnson 1973) says how many bins it takes; the samples are then spread evenly over that
    many, longest first into the emptiest bin. Where that overflows a bin, best fit's own bins are taken.
    """
    order = np.argsort(-lengths, kind="stable").tolist()
    best_fit = _best_fit(lengths, order, budget)
    count = -(-len(best_fit) // world_size) * world_size
    even = _spread(lengths, order, count)
    if max(lengths[b].sum() for b in even) > budget:
        even = best_fit + [[] for _ in range(count - len(best_fit))]
    return sorted(even, key=lambda b: (-int(lengths[b].sum()), b))


def group(lengths: np.ndarray, budget: int, world_size: int) -> list[list[int]]:
    """Bins for micro-batches that are padded to their longest sample: samples of like length, rows x longest <= budget.

    The same shape of answer as `pack`.
    """
    bins: list[list[int]] = []
    for index in np.argsort(-lengths, kind="stable").tolist():
        # The first of a bin is its longest.
        if bins and lengths[bins[-1][0]] * (len(bins[-1]) + 1) <= budget:
            bins[-1].append(index)
        else:
            bins.append([index])
    size = lambda b: int(lengths[b[0]]) * len(b) if b else 0  # noqa: E731
    while len(bins) % world_size:
        largest = max(range(len(bins)), key=lambda i: (size(bins[i]) if len(bins[i]) > 1 else -1, -i))
        half = (len(bins[largest]) + 1) // 2
        if len(bins[largest]) > 1:
            bins[largest : largest + 1] = [bins[largest][:half], bins[largest][half:]]
        else:
            bins.append([])
    return sorted(bins, key=lambda b: (-size(b), b))


def _best_fit(lengths: np.ndarray, order: list[int], budget: int) -> list[list[int]]:
    """Each sample into the fullest bin that still has room for it."""
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, bin), ascending
    for index in order:
        length = int(lengths[index])
        at = bisect.bisect_left(room, (length, -1))
        if at == len(room):
            left, chosen = budget, len(bins)
            bins.append([])
        else:
            left, chosen = room.pop(at)
        bins[chosen].append(index)
        bisect.insort(room, (left - length, chosen))
    return bins


def _spread(lengths: np.ndarray, order: list[int], count: int) -> list[list[int]]:
    """Each sample into the emptiest of `count` bins."""
    bins: list[list[int]] = [[] for _ in range(count)]
    loads = [(0, i) for i in range(count)]
    for index in order:
        load, chosen = heapq.heappop(loads)
        bins[chosen].append(index)
        heapq.heappush(loads, (load + int(lengths[index]), chosen))
    return bins
