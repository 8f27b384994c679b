"""The images of one file, each read when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS


@dataclasses.dataclass(frozen=True)
class Stack:
    """The images of one file; each is read when it is asked for.

    Attributes:
        count: their number.
        plane: the image (ny, nx) with this index, NaN where a pixel is bad, without padding.
        pixel_scale: arcsec; None where the file does not give it.
        unit: of the fluxes; None where the file does not give it.
        wcs: of the sky, None where the file has none.
        exposure_time: (count,) total, s; None where the file has none, NaN for single images.
        header: reads the keywords of a FITS file that stay true of other pixels; None of other
            files.
        notes: other images in the file that are not taken, and what became of masks.
        framed: the image with this index as the file has it, and its padding (4,); None where no
            image has any.
    """

    count: int
    plane: Callable[[int], NDArray[Any]]
    pixel_scale: float | None = None
    unit: str | None = None
    wcs: WCS | None = None
    exposure_time: NDArray[np.float64] | None = None
    header: Callable[[], Header] | None = None
    notes: tuple[str, ...] = ()
    framed: Callable[[int], tuple[NDArray[Any], NDArray[np.int64]]] | None = None
