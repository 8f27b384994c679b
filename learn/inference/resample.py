"""Resampling of an image to the pixels and the size that a network was trained on."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from simulate.importers.errors import BrokenFileError
from simulate.importers.framing import overlap

#: Relative, of pixel scales that count as one; across a distorted camera they differ by less.
TOLERANCE = 0.01
#: A field of fewer pixels of the network is no image of a lens, nor are fewer of its own pixels.
_LEAST, _FEWEST = 8, 4


@dataclasses.dataclass(frozen=True)
class Frame:
    """An image of the size of a network.

    Attributes:
        pixels: (size, size).
        rows: those that show the sky; the others are padding.
        columns: those that show the sky.
        corner: (y, x), the edge where the first such row and column begin, in pixels of the
            original from the edge of its first pixel.
        step: pixels of the original to one of these.
        notes: the changes that were made, in words.
    """

    pixels: NDArray[np.float64]
    rows: slice
    columns: slice
    corner: tuple[float, float]
    step: float
    notes: tuple[str, ...]

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Padding as :func:`simulate.dataset.padding.read_padding` has it."""
        ny, nx = self.pixels.shape
        right, top = nx - self.columns.stop, ny - self.rows.stop
        return self.columns.start, right, self.rows.start, top


def resample(
    image: NDArray[np.floating],
    size: int,
    scale: float,
    wanted: float,
    *,
    surface_brightness: bool = False,
) -> Frame:
    """Resample an image to other pixels, and crop or pad it about its centre.

    Flux is conserved, also that behind a surface brightness; the PSF stays what it is. What is
    missing around a small image is the median of its pixels, in a cutout about the sky.

    Args:
        image: (ny, nx) of finite flux per pixel, or surface brightness.
        size: pixels on a side of the frame.
        scale: of the pixels of the image, arcsec.
        wanted: of the pixels of the frame, arcsec.
        surface_brightness: of the pixels, in place of flux.

    Raises:
        BrokenFileError: for an image of a few pixels only, or where a few are all that is shown.
    """
    notes = []
    sky = float(np.median(image))
    same = abs(scale / wanted - 1) <= TOLERANCE
    step = 1.0 if same else wanted / scale
    whole = [int(n / step + 1e-6) for n in image.shape]
    if min(*whole, *image.shape) < _LEAST:
        raise BrokenFileError(
            f"it shows {image.shape[0] * scale:.3g} x {image.shape[1] * scale:.3g} arcsec in "
            f"{image.shape[0]} x {image.shape[1]} pixels, less than {_LEAST} on a side of its own "
            f"or of the {wanted:.3g} arcsec of the network"
        )
    if size * step < _FEWEST:
        raise BrokenFileError(
            f"its pixels of {scale:.3g} arcsec are so wide that the {size * wanted:.3g} arcsec of "
            f"the network show less than {_FEWEST} on a side"
        )
    shape = [min(n, size) for n in whole]
    (y, rows), (x, columns) = (overlap(n, size) for n in whole)
    if same:
        corner = [float(y.start), float(x.start)]
        pixels = np.asarray(image[y, x], np.float64)
    else:
        notes.append(f"resampled from {scale:.3g} to {wanted:.3g} arcsec")
        corner = [(n - m * step) / 2 for n, m in zip(image.shape, shape, strict=True)]
        left, right = (_binning_matrix(n, m, step) for n, m in zip(image.shape, shape, strict=True))
        pixels = left @ image.astype(np.float64) @ right.T
        if surface_brightness:
            pixels /= step**2
        else:
            sky *= step**2
    if max(whole) > size:
        notes.append(f"cropped from {whole[0]} x {whole[1]} to {size} x {size} pixels")
    if min(whole) < size:
        notes.append(f"padded from {shape[0]} x {shape[1]} to {size} x {size} pixels")
    full = np.full((size, size), sky)
    full[rows, columns] = pixels
    return Frame(full, rows, columns, (corner[0], corner[1]), step, tuple(notes))


def keep_frame(
    image: NDArray[np.floating], framed: NDArray[np.floating], padding: NDArray[np.int64]
) -> Frame:
    """The frame of an image that has been padded to the size of the network already.

    Args:
        image: (ny, nx) of finite flux per pixel, without its padding.
        framed: (size, size) with its padding, which stays what it is.
        padding: (4,) see :func:`simulate.dataset.padding.read_padding`.
    """
    left, _, bottom, _ = padding.tolist()
    rows, columns = slice(bottom, bottom + image.shape[0]), slice(left, left + image.shape[1])
    pixels = framed.astype(np.float64)
    pixels[rows, columns] = image
    return Frame(pixels, rows, columns, (0.0, 0.0), 1.0, ())


def resample_noise(noise: NDArray[np.floating], frame: Frame, masked: float) -> NDArray[np.float64]:
    """The noise of an image on the pixels of its frame, where that of its pixels is independent.

    Args:
        noise: (ny, nx) standard deviation.
        frame: of the image.
        masked: the noise of padding.
    """
    variance = noise.astype(np.float64) ** 2
    if frame.step == 1:
        y, x = (int(c) for c in frame.corner)
        rows, columns = (part.stop - part.start for part in (frame.rows, frame.columns))
        shown = variance[y : y + rows, x : x + columns]
    else:
        sizes = (part.stop - part.start for part in (frame.rows, frame.columns))
        left, right = (
            _binning_matrix(n, m, frame.step) ** 2 for n, m in zip(noise.shape, sizes, strict=True)
        )
        shown = left @ variance @ right.T
    full = np.full(frame.pixels.shape, float(masked))
    full[frame.rows, frame.columns] = np.sqrt(shown)
    return full


def resample_kernel(kernel: NDArray[np.floating], step: float) -> NDArray[np.float64]:
    """A PSF (ky, kx) on pixels ``step`` times as wide, of odd sizes and about its centre."""
    if step == 1:
        return np.asarray(kernel, np.float64)
    sizes = [2 * int((n / step - 1) / 2) + 1 for n in kernel.shape]
    left, right = (_binning_matrix(n, m, step) for n, m in zip(kernel.shape, sizes, strict=True))
    return np.asarray(left @ kernel.astype(np.float64) @ right.T)


@functools.lru_cache(maxsize=64)
def _binning_matrix(n: int, m: int, step: float) -> NDArray[np.float64]:
    """The matrix (m, n) from n pixels to m about the same centre, each ``step`` times as wide.

    A cubic spline through the sums of flux from the edge up to each pixel, differenced at the edges
    of the new pixels: none of the flux between them is lost or made.
    """
    edges = (n - m * step) / 2 + step * np.arange(m + 1)
    sums = np.vstack([np.zeros(n), np.tri(n)])  # of each single pixel of flux one
    spline = make_interp_spline(np.arange(n + 1), sums, k=3)
    return np.asarray(np.diff(spline(edges.clip(0, n)), axis=0), np.float64)
