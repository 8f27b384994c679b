"""Shape, scale and unit that images have in common, found before the first is written."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from simulate.importers.config import ImportConfig
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.framing import Framing, Looked, Shape, by, frame, frame_pairs
from simulate.importers.layouts import Entry, Source
from simulate.importers.npy import read_npy, read_shape

if TYPE_CHECKING:
    from simulate.importers.fits import ImageHeader

#: Relative, of pixel scales that count as one; across a distorted camera they differ by less.
_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Form:
    """The form that all images of a data set have."""

    framing: Framing
    """the size that the images are cropped or padded to"""
    factor: int | None
    """pixels of the high resolution to one of the low, in a layout of pairs"""
    pixel_scale: float | None
    """width of a pixel in the FITS header, arcsec"""
    unit: str | None
    """unit in the FITS header"""
    broken: Mapping[str, str]
    """reasons for which images cannot be imported, by file, as far as the survey saw"""
    exposures: Mapping[str, float]
    """exposure times, s, by file, where the FITS header gives one"""
    notes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """images in the files that are not taken, and the number of those files"""

    @property
    def size(self) -> int:
        """Pixels on a side of the images of the data set."""
        return self.framing.size


@dataclasses.dataclass(frozen=True)
class _Found:
    """The image of one file, as it describes itself, and those of files like it."""

    name: str
    shape: Shape
    low: Shape | None
    pixel_scale: float | None
    unit: str | None
    exposure_time: float
    note: str = ""
    labels: Mapping[int, int] = dataclasses.field(default_factory=dict)


def read_pixels(
    source: Source, name: str, remark: Callable[[str], None] | None = None
) -> tuple[NDArray[Any], float]:
    """The image (ny, nx) in a file, and the axion mass in eV, NaN where it has none.

    Args:
        source: has the file.
        name: of the file.
        remark: called with words on masks of the image that are not applied.

    Raises:
        BrokenFileError: for a file that cannot be imported.
    """
    path = source.file(name)
    try:
        if not source.fits:
            return read_npy(path)
        from simulate.importers.fits import read_fits

        return read_fits(path, source.hdu, remark), math.nan
    except OSError as error:
        raise BrokenFileError(f"it cannot be read: {error.strerror or error}") from None


def survey(source: Source, config: ImportConfig) -> Form:
    """Look at the headers of all files, as far as they describe an image.

    Object arrays and pairs in .npy files do not: there, one file stands for all of its size in
    bytes in its folder. One that turns out to differ from its like is then a broken one.

    Raises:
        InputError: if no file can be read, or the images do not go together.
    """
    broken: dict[str, str] = {}
    found = list(_found(source, broken))
    looked = [Looked(item.name, item.shape, item.labels) for item in found]
    factor = _common_factor(found) if source.pairs else None
    if factor is None:
        framing = frame(looked, config.size, source.label_names)
    else:
        framing = frame_pairs(looked, config.size, factor)
    return Form(
        framing,
        factor,
        _common_scale(found, config),
        _common_unit(found, config),
        broken,
        {item.name: item.exposure_time for item in found if item.exposure_time > 0},
        Counter(item.note for item in found if item.note),
    )


def _found(source: Source, broken: dict[str, str]) -> Iterator[_Found]:
    alike: dict[object, list[Entry]] = {}
    for entry in source.entries:
        alike.setdefault(_find_like(source, entry), []).append(entry)
    for entries in alike.values():
        for entry in entries:
            try:
                found = _look(source, entry)
            except BrokenFileError as error:
                broken[entry.name] = str(error)
                continue
            yield dataclasses.replace(found, labels=Counter(each.label for each in entries))
            break
    if len(broken) == len(source.entries):
        name, reason = next(iter(broken.items()))
        raise InputError(
            f"none of the {len(source.entries)} images in {escape(str(source.path))} can be "
            f"read; {escape(name)}: {reason}"
        )


def _find_like(source: Source, entry: Entry) -> object:
    """A key that files have in common of which one stands for all."""
    if source.fits:
        return entry.name
    shape = None
    if not source.pairs:
        with suppress(BrokenFileError, OSError):  # a closer look names the reason
            shape = read_shape(source.file(entry.name))
    return entry.name.rpartition("/")[0], entry.size, entry.low_size, shape


def _look(source: Source, entry: Entry) -> _Found:
    if source.pairs and entry.low is None:
        raise BrokenFileError("it has no partner of its name at the other resolution")
    if not source.fits:
        shape = read_pixels(source, entry.name)[0].shape
        low = read_pixels(source, entry.low)[0].shape if entry.low is not None else None
        return _Found(entry.name, shape, low, None, None, math.nan)  # type: ignore[arg-type]
    from simulate.importers.fits import read_header

    try:
        header = read_header(source.file(entry.name), source.hdu)
        partner = None if entry.low is None else read_header(source.file(entry.low), source.hdu)
    except OSError as error:
        raise BrokenFileError(f"it cannot be read: {error.strerror or error}") from None
    scale = _square(entry.name, header.pixel_widths) if header.pixel_widths else None
    if partner is not None:
        _check_partner(header, partner)
    return _Found(
        entry.name,
        header.shape,
        partner.shape if partner else None,
        scale,
        header.unit,
        header.exposure_time,
        header.note,
    )


def _check_partner(high: ImageHeader, low: ImageHeader) -> None:
    """Refuse an image whose partner has another unit, or pixels of a width that its size denies."""
    if high.unit != low.unit:
        units = " and ".join(escape(str(header.unit)) for header in (high, low))
        raise BrokenFileError(f"its partner has another unit (BUNIT): {units}")
    if high.pixel_widths and low.pixel_widths:
        ratios = [b / a for a, b in zip(high.pixel_widths, low.pixel_widths, strict=True)]
        factors = [a / b for a, b in zip(high.shape, low.shape, strict=True)]
        # Shapes are (ny, nx), widths along x and y.
        if any(abs(a / b - 1) > _TOLERANCE for a, b in zip(ratios, factors[::-1], strict=True)):
            raise BrokenFileError(
                f"the pixels of its partner are {ratios[0]:.3g} times as wide by their WCS, "
                f"{factors[1]:.3g} times by their number"
            )


def _square(name: str, widths: tuple[float, float]) -> float:
    x, y = widths
    if abs(x / y - 1) > _TOLERANCE:
        raise InputError(
            f"{escape(name)} has pixels of {x:.4g} x {y:.4g} arcsec; resample the images to "
            "square pixels"
        )
    return math.sqrt(x * y)


def _common_factor(found: list[_Found]) -> int:
    factors: dict[tuple[float, float], str] = {}
    for item in found:
        assert item.low is not None
        y, x = (high / low for high, low in zip(item.shape, item.low, strict=True))
        factors.setdefault((y, x), f"{escape(item.name)}: {by(item.shape)}, {by(item.low)}")
    y, x = next(iter(factors))
    if len(factors) > 1 or y != x or y != int(y) or y < 2:
        raise InputError(
            "the pixels of the high-resolution images must be one multiple of those of the low "
            f"resolution, from 2 on; found {'; '.join(list(factors.values())[:2])}"
        )
    return int(y)


def _common_scale(found: list[_Found], config: ImportConfig) -> float | None:
    scales = [(item.pixel_scale, item.name) for item in found if item.pixel_scale is not None]
    without = [item.name for item in found if item.pixel_scale is None]
    if not scales:
        return None
    if without and config.pixel_scale is None:
        raise InputError(
            f"{escape(without[0])} has no WCS that gives its pixel scale; give --pixel-scale"
        )
    (low, first), (high, second) = min(scales), max(scales)
    if high > low * (1 + _TOLERANCE):
        raise InputError(
            f"the images differ in pixel scale: {escape(first)} has {low:.4g} arcsec, "
            f"{escape(second)} {high:.4g}; import each from a folder of its own"
        )
    scale = float(np.median([scale for scale, _ in scales]))
    if config.pixel_scale and abs(config.pixel_scale / scale - 1) > _TOLERANCE:
        raise InputError(
            f"--pixel-scale {config.pixel_scale:g}: the WCS of {escape(first)} gives {low:.4g} "
            "arcsec; leave the option out, or correct the WCS"
        )
    return scale


def _common_unit(found: list[_Found], config: ImportConfig) -> str | None:
    units = {item.unit: item.name for item in found}
    if config.unit is None and len(units) > 1:
        (one, name), (other, other_name) = list(units.items())[:2]
        raise InputError(
            f"the images differ in unit (BUNIT): {escape(name)} has {escape(str(one))}, "
            f"{escape(other_name)} {escape(str(other))}; --unit names one for all"
        )
    return escape(str(found[0].unit)) if found[0].unit else None
