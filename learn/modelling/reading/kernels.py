"""The PSF of an image: centred, on its pixels, and not larger than it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learn.modelling.reading.planes import TOLERANCE, Plane
from simulate.importers.errors import BrokenFileError

if TYPE_CHECKING:
    from torch import Tensor

#: Pixels of a PSF over those of the image, beyond which it is no finer copy.
_FINEST = 32


def make_kernel(
    plane: Plane, shape: tuple[int, int], pixel_scale: float
) -> tuple[NDArray[np.float64], list[str]]:
    """The PSF (ky, kx) of an image, both odd, of sum 1; and remarks on what was done to it.

    Args:
        plane: as it was read.
        shape: (ny, nx) of the image.
        pixel_scale: of the image, arcsec.

    Raises:
        BrokenFileError: for pixels of another scale that is no whole part of that of the image, and
            for a kernel without a peak or a sum above 0.
    """
    import torch

    from lensphys.psf.pixel_kernels import centre_kernel

    try:
        kernel, note = centre_kernel(torch.from_numpy(plane.values))
    except ValueError as error:
        raise BrokenFileError(f"its PSF ({plane.label}) cannot be used: {error}") from None
    notes = [f"PSF {plane.label}: {note}"] if note else []
    kernel, more = _on_pixels(kernel, plane, pixel_scale)
    notes += more
    values = kernel.numpy()
    rows, columns = (_middle(k, n) for k, n in zip(values.shape, shape, strict=True))
    cropped = values[rows, columns]
    if cropped.shape != values.shape:
        lost = max(0.0, float(1 - cropped.sum() / values.sum()))
        notes.append(
            f"PSF {plane.label} of {values.shape[0]} x {values.shape[1]} pixels cropped to "
            f"{cropped.shape[0]} x {cropped.shape[1]}, which leaves out {100 * lost:.2g}% of it"
        )
    return cropped / cropped.sum(), notes


def _on_pixels(kernel: Tensor, plane: Plane, pixel_scale: float) -> tuple[Tensor, list[str]]:
    """A kernel summed into the pixels of the image, where its own are a whole part of them."""
    from lensphys.psf.pixel_kernels import degrade

    own = plane.pixel_scale
    if own is None or abs(own / pixel_scale - 1) <= TOLERANCE:
        return kernel, []
    factor = round(pixel_scale / own)
    if not 2 <= factor <= _FINEST or abs(pixel_scale / own / factor - 1) > TOLERANCE:
        raise BrokenFileError(
            f"its PSF ({plane.label}) has pixels of {own:.4g} arcsec, the image of "
            f"{pixel_scale:.4g}; resample the PSF to those of the image, or to a whole part of them"
        )
    note = f"PSF {plane.label} summed from pixels of {own:.4g} arcsec into those of the image"
    return degrade(kernel, factor), [note]


def _middle(size: int, most: int) -> slice:
    """The middle of an odd number of pixels, an odd number again, of so many at most."""
    cut = max(0, (size - most + 1) // 2)
    return slice(cut, size - cut)
