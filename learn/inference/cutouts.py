"""Images in files on the pixels of a network, one by one, and remarks on what was done to them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from learn.config import PredictConfig
from learn.inference.network import Network
from learn.inference.resample import TOLERANCE, Frame, keep_frame, resample
from learn.tasks.outliers import NOT_COMPUTED, TESTS, Resemblance
from lensphys.ground.names import plain_text
from lensphys.ground.program import program
from simulate.dataset.photometry import Optics
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.pixels import fill_bad_pixels
from simulate.importers.stack import Stack
from simulate.importers.stacks import find_files, open_stack
from simulate.importers.units import is_surface_brightness

#: Broken images that are named one by one.
_NAMED = 10
#: Range of pixels over their size, or over the noise, that is rounding in single precision.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)
#: Each unit is in many files, and astropy takes its time over one that it cannot read.
_find_kind = functools.lru_cache(maxsize=256)(is_surface_brightness)

#: Called with a file and the part of it that has been dealt with since the last call.
Progress = Callable[[Path, float], None]


@dataclasses.dataclass(frozen=True)
class Cutout:
    """One image on the pixels of the network, and its origin."""

    path: Path
    index: int
    count: int
    """number of images in its file"""
    frame: Frame
    bad: int
    """pixels that had to be filled"""
    filled: float
    """those as a part of all"""
    blank: bool
    """all pixels that are shown are equal, to the last digit that the network keeps"""
    unit: str | None
    surface_brightness: bool
    """pixels hold flux per solid angle, not flux"""
    wcs: WCS | None
    pixel_scale: float
    """of the pixels of the file, arcsec"""
    exposure_time: float
    """s; NaN where it is not known"""
    header: Header | None = None
    """keywords of a FITS file that stay true of other pixels, for a network that makes images"""
    optics: Optics | None = None
    """PSF and noise of its own; None: as in training"""

    @property
    def name(self) -> str:
        """The file, and the number of the image where it is one of several."""
        return f"{self.path}[{self.index}]" if self.count > 1 else str(self.path)


class CutoutRemarks:
    """Remarks for the end: broken images by name, and counts of what was done to others."""

    def __init__(self) -> None:
        self._notes: Counter[str] = Counter()
        self._failed: list[str] = []
        self._flags: Counter[str] = Counter()
        self._flagged = 0
        self.broken: list[str] = []
        self.left_out: list[str] = []

    def skip(self, name: str, error: BrokenFileError) -> None:
        """Remark that an image or file cannot be read."""
        self.broken.append(f"{escape(name)}: {error}")

    def leave_out(self, path: Path, reason: str) -> None:
        """Remark that a file of a folder is not taken."""
        self.left_out.append(f"{escape(str(path))}: {reason}")

    def note(self, notes: Iterable[str]) -> None:
        """Remark what was done to one image."""
        self._notes.update(notes)

    def fail(self, cutout: Cutout) -> None:
        """Remark that nothing could be computed of an image."""
        equal = "its pixels are equal to the last digit that the network keeps"
        why = equal if cutout.blank else "the network gives no number"
        self._failed.append(f"{escape(cutout.name)}: {why}")

    def flag(self, judged: Resemblance) -> None:
        """Remark which of the images that were predicted are unlike those of the training."""
        self._flagged += int(judged.flagged.sum())
        self._flags.update({flag: int(judged.has(flag).sum()) for flag in TESTS.values()})

    def lines(self, predicted: int) -> Iterator[str]:
        """All remarks, the first of each kind one by one."""
        for note, count in self._notes.most_common(_NAMED):
            yield f"{count} {'image' if count == 1 else 'images'} {note}"
        yield from (f"NaN for {line}" for line in self._failed[:_NAMED])
        if self._failed:
            failed = f"{len(self._failed)} of {predicted}"
            yield f"{failed} could not be computed: NaN, with the flag '{NOT_COMPUTED}'"
        if self._flagged:
            flags = ", ".join(f"{count} {flag}" for flag, count in self._flags.items() if count)
            yield f"{self._flagged} of {predicted} flagged: {flags}"
        yield from (f"left out {line}" for line in self.left_out[:_NAMED])
        if len(self.left_out) > _NAMED:
            yield f"{len(self.left_out)} files left out"
        yield from (f"skipped {line}" for line in self.broken[:_NAMED])
        if self.broken:
            yield f"{len(self.broken)} skipped, {predicted} predicted"


def find_optics(cutouts: Sequence[Cutout]) -> list[Optics] | None:
    """PSF and noise of images that all have their own; None without."""
    optics = [cutout.optics for cutout in cutouts if cutout.optics is not None]
    return optics or None


def find_inputs(name: Path, remarks: CutoutRemarks) -> list[Path]:
    """The files of an input; one that is not there is remarked upon."""
    try:
        return find_files(name, remarks.leave_out)
    except BrokenFileError as error:
        remarks.skip(str(name), error)
    except OSError as error:
        remarks.skip(str(name), BrokenFileError(f"it cannot be read: {error.strerror}"))
    return []


def read_images(
    files: Sequence[Path],
    model: Network,
    config: PredictConfig,
    remarks: CutoutRemarks,
    report: Progress,
) -> Iterator[Cutout]:
    """Read all images on the pixels of the network; broken ones are remarked upon and left out."""
    largest = model.largest
    for path in files:
        done = 0.0
        try:
            with open_stack(path, model.column, config.hdu) as stack:
                remarks.note(stack.notes)
                scale = _find_scale(stack, config.pixel_scale)
                for index in range(stack.count):
                    try:
                        cutout = _read_image(path, index, stack, scale, model, largest, config)
                    except BrokenFileError as error:
                        several = stack.count > 1
                        remarks.skip(f"{path}[{index}]" if several else str(path), error)
                    else:
                        remarks.note(_list_changes(cutout, scale, model))
                        yield cutout
                    report(path, 1 / stack.count)
                    done += 1 / stack.count
        except BrokenFileError as error:
            remarks.skip(str(path), error)
        report(path, 1 - done)


def _find_scale(stack: Stack, given: float | None) -> float:
    """The pixel scale of the images of a file, arcsec."""
    said = stack.pixel_scale
    if said is None and given is None:
        raise BrokenFileError("it does not say its pixel scale; give --pixel-scale ARCSEC")
    if said is not None and given is not None and abs(given / said - 1) > TOLERANCE:
        raise BrokenFileError(f"--pixel-scale {given:g}: the file says {said:.4g} arcsec")
    scale = given if said is None else said
    assert scale is not None
    return scale


def _read_image(
    path: Path,
    index: int,
    stack: Stack,
    scale: float,
    model: Network,
    largest: float,
    config: PredictConfig,
) -> Cutout:
    image, bad = fill_bad_pixels(_without_excess(stack.plane(index), largest), config.fill)
    brightness = _find_kind(stack.unit)
    if brightness is None:
        brightness = model.surface_brightness
    if model.makes_images:
        _check_finer(scale, model)
    frame = _keep_frame(image, stack, index, model, scale, largest) or resample(
        image, model.size, scale, model.pixel_scale, surface_brightness=brightness
    )
    exposure = math.nan if stack.exposure_time is None else float(stack.exposure_time[index])
    if not exposure > 0 and config.exposure_time is not None:
        exposure = config.exposure_time
    shown = frame.pixels[frame.rows, frame.columns]
    return Cutout(
        path,
        index,
        stack.count,
        frame,
        bad,
        filled=bad / image.size,
        blank=bool(np.ptp(shown) <= _ROUNDING * max(np.abs(shown).max(), model.softening)),
        unit=stack.unit,
        surface_brightness=brightness,
        wcs=stack.wcs,
        pixel_scale=scale,
        exposure_time=exposure,
        header=stack.header() if model.makes_images and stack.header else None,
    )


def _keep_frame(
    image: NDArray[Any], stack: Stack, index: int, model: Network, scale: float, largest: float
) -> Frame | None:
    """The frame of a data set's own padding, as the network is trained and evaluated on it.

    None for an image without padding, or of other pixels or another size than the network has.
    """
    if stack.framed is None or abs(scale / model.pixel_scale - 1) > TOLERANCE:
        return None
    framed, padding = stack.framed(index)
    if framed.shape != (model.size, model.size) or not padding.any():
        return None
    frame = keep_frame(image, framed, padding)
    # NaN and what is too large stand in the padding of a stranger's file alone.
    return frame if (np.abs(frame.pixels) <= largest).all() else None


def _check_finer(scale: float, model: Network) -> None:
    """Refuse pixels finer than those that a network enlarges, which would be blurred first.

    Raises:
        BrokenFileError: for them, with the command that trains a network for their like.
    """
    if scale < model.pixel_scale * (1 - TOLERANCE):
        made, served = model.pixel_scale / model.factor, model.pixel_scale
        raise BrokenFileError(
            f"its pixels of {scale:.3g} arcsec are finer than those of {served:.3g} that the "
            f"network serves, which makes {made:.3g}; train one for yours: `{program()} import "
            f"PAIRS --pixel-scale {scale / model.factor:.3g}` of PAIRS/HR/ and PAIRS/LR/, then "
            f"`{program()} finetune --task {model.purpose} --encoder none --data "
            "data/imported/PAIRS`"
        )


def _without_excess(image: NDArray[Any], largest: float) -> NDArray[np.float64]:
    """An image, NaN where it is beyond all numbers that a network can work with.

    Markers of bad pixels are among them: 1.6e38 is IRAF's INDEF.

    Raises:
        BrokenFileError: for an image with no other pixels.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        pixels = np.array(image, np.float64)
    finite = np.isfinite(pixels)
    excess = finite & (np.abs(pixels) > largest)
    if excess.any() and (excess == finite).all():
        raise BrokenFileError(
            f"all of its good pixels exceed {largest:.1g}, more than the network can work with; "
            "its unit is another"
        )
    pixels[excess] = np.nan
    return pixels


def _list_changes(cutout: Cutout, scale: float, model: Network) -> Iterator[str]:
    yield from cutout.frame.notes
    known = cutout.unit not in (None, "unknown") and model.unit != "unknown"
    if known and cutout.unit != model.unit:
        trained = plain_text(model.unit)
        yield f"in '{escape(str(cutout.unit))}', where the network was trained on '{trained}'"
    if cutout.frame.step != 1 and _find_kind(cutout.unit) is _find_kind(model.unit) is None:
        yield "in an unknown unit, taken for flux per pixel"
    if cutout.filled > 0.5:
        yield "with more than half of its pixels filled"
    if model.makes_images and cutout.blank:
        yield "with pixels that are all equal"
