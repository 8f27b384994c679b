"""Blocks of pixels that a loop works on at once, and sums over them."""

from __future__ import annotations

import numba

#: Pixels worked on at once: their coordinates and deflections stay in the first-level cache.
BLOCK = 256


@numba.njit(forceinline=True, fastmath={"contract", "reassoc", "nsz"})
def sum_terms(terms):  # type: ignore[no-untyped-def]
    """Sum of the numbers of a block, in whatever order is fastest."""
    total = terms.dtype.type(0)
    for p in range(terms.shape[0]):
        total += terms[p]
    return total
