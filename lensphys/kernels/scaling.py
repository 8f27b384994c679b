"""Maps times a number."""

from __future__ import annotations

from lensphys.kernels.compiling import kernel


@kernel
def scale(factor, maps, products):  # type: ignore[no-untyped-def]
    """Maps ``(M, N)`` times a number."""
    factor = maps.dtype.type(factor)
    for m in range(maps.shape[0]):
        for p in range(maps.shape[1]):
            products[m, p] = factor * maps[m, p]
