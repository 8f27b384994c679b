"""Predictions for images in files: one table, or super-resolved FITS files."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, Sip
from numpy.typing import NDArray

from learn.config import PredictConfig
from learn.inference.model import Model, load_model
from learn.inference.resample import TOLERANCE, Frame, resample
from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.run import fill_bad_pixels
from simulate.importers.stacks import Stack, find_files, open_stack

#: Endings of a table, and what astropy calls its format.
FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}
#: Broken images that are named one by one.
_NAMED = 10

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
    unit: str | None
    wcs: WCS | None
    exposure_time: float
    """s; NaN where it is not known"""


class Remarks:
    """Remarks for the end: broken images by name, and counts of what was done to others."""

    def __init__(self) -> None:
        self._notes: Counter[str] = Counter()
        self.broken: list[str] = []

    def skip(self, name: str, error: BrokenFileError) -> None:
        """Remark that an image or file was left out."""
        self.broken.append(f"{escape(name)}: {error}")

    def note(self, notes: Iterable[str]) -> None:
        """Remark what was done to one image."""
        self._notes.update(notes)

    def lines(self, predicted: int) -> Iterator[str]:
        """All remarks, the first of each kind one by one."""
        for note, count in self._notes.most_common(_NAMED):
            yield f"{count} {'image' if count == 1 else 'images'} {note}"
        yield from (f"skipped {line}" for line in self.broken[:_NAMED])
        if self.broken:
            yield f"{len(self.broken)} skipped, {predicted} predicted"


def predict(
    run: Path,
    inputs: Sequence[Path],
    config: PredictConfig,
    progress: Callable[[list[Path]], Progress] | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[Path, int]:
    """Predict all images in files.

    Images that cannot be read are named and left out; nothing else is lost with them.

    Args:
        run: folder of a finished fine-tuning run, or of what was exported of it.
        inputs: files, data sets, and folders of files.
        config: the options.
        progress: called with all files; returns what to call as they are dealt with.
        warn: called with lines on broken images, and on what was done to others.

    Returns:
        The table, or the folder of super-resolved images, and the number of images.

    Raises:
        InputError: for a folder without a finished run, where no image can be read, or where
            nothing can be written to ``out``.
    """
    model = load_model(run).to(choose_device(config.device))
    out = _choose_output(config, model)
    remarks = Remarks()
    files = list(dict.fromkeys(path for name in inputs for path in _find_inputs(name, remarks)))
    report = progress(files) if progress else _silent
    cutouts = _read_images(files, model, config, remarks, report)
    predictions = _predict_batches(model, cutouts, config.batch_size)
    write = _write_images if model.task.makes_images else _write_table
    count = write(out, predictions, model)
    if not count:
        first = remarks.broken[0] if remarks.broken else "they hold no images"
        raise InputError(f"nothing to predict: {first}")
    for line in remarks.lines(count):
        (warn or print)(line)
    return out, count


def _silent(path: Path, part: float) -> None:
    """Show no progress."""


def _choose_output(config: PredictConfig, model: Model) -> Path:
    """The table or folder that the predictions are written to."""
    if model.task.makes_images:
        out = config.out or Path("predictions")
        if out.is_file() or out.suffix in FORMATS:
            raise InputError(
                f"--out {out}: {model.task.config.task} makes images, one file each; name a folder"
            )
        return out
    out = config.out or Path("predictions.csv")
    if out.suffix not in FORMATS:
        raise InputError(f"--out {out}: a table ends in {', '.join(FORMATS)}")
    return out


def _find_inputs(name: Path, remarks: Remarks) -> list[Path]:
    try:
        return find_files(name)
    except BrokenFileError as error:
        remarks.skip(str(name), error)
        return []


def _read_images(
    files: Sequence[Path], model: Model, config: PredictConfig, remarks: Remarks, report: Progress
) -> Iterator[Cutout]:
    """Read all images on the pixels of the network; broken ones are remarked upon and left out."""
    for path in files:
        done = 0.0
        try:
            with open_stack(path, model.task.column) as stack:
                scale = _find_scale(stack, config.pixel_scale)
                for index in range(stack.count):
                    try:
                        cutout = _read_image(path, index, stack, scale, model, config)
                    except BrokenFileError as error:
                        several = stack.count > 1
                        remarks.skip(f"{path}[{index}]" if several else str(path), error)
                    else:
                        remarks.note(_list_changes(cutout, model))
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
    model: Model,
    config: PredictConfig,
) -> Cutout:
    image, bad = fill_bad_pixels(stack.plane(index), config.fill)
    frame = resample(image, model.size, scale, model.pixel_scale)
    exposure = math.nan if stack.exposure_time is None else float(stack.exposure_time[index])
    if not exposure > 0 and config.exposure_time is not None:
        exposure = config.exposure_time
    return Cutout(path, index, stack.count, frame, bad, stack.unit, stack.wcs, exposure)


def _list_changes(cutout: Cutout, model: Model) -> Iterator[str]:
    yield from cutout.frame.notes
    known = cutout.unit not in (None, "unknown") and model.unit != "unknown"
    if known and cutout.unit != model.unit:
        yield f"in '{cutout.unit}', where the network was trained on '{model.unit}'"


@torch.inference_mode()
def _predict_batches(
    model: Model, cutouts: Iterable[Cutout], batch_size: int
) -> Iterator[tuple[list[Cutout], torch.Tensor]]:
    """Predict images in batches."""
    rest = iter(cutouts)
    while batch := list(itertools.islice(rest, batch_size)):
        pixels = np.stack([cutout.frame.pixels for cutout in batch]).astype(np.float32)
        exposure = np.array([cutout.exposure_time for cutout in batch])
        yield batch, model(pixels, exposure).float().cpu()


Predictions = Iterable[tuple[list[Cutout], torch.Tensor]]


def _write_table(out: Path, predictions: Predictions, model: Model) -> int:
    """Write one row an image; return their number."""
    parts = [
        {
            "file": np.array([_encode_name(cutout.path, out) for cutout in batch]),
            "index": np.array([cutout.index for cutout in batch]),
            **model.task.table(values),
            "n_bad_pixels": np.array([cutout.bad for cutout in batch]),
        }
        for batch, values in predictions
    ]
    if not parts:
        return 0
    table = Table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    _make_folder(out.parent)
    with replacing(out) as temporary:
        table.write(temporary, format=FORMATS[out.suffix])
    return len(table)


def _encode_name(path: Path, out: Path) -> str:
    """The name of a file as the table can hold it: FITS knows ASCII, and names may be any bytes."""
    encoding = "ascii" if out.suffix == ".fits" else "utf-8"
    return str(path).encode(encoding, "backslashreplace").decode(encoding)


def _write_images(out: Path, predictions: Predictions, model: Model) -> int:
    """Write one FITS file an image; return their number."""
    names: Counter[str] = Counter()
    count = 0
    for batch, images in predictions:
        _make_folder(out)
        for cutout, image in zip(batch, images[:, 0].numpy(), strict=True):
            factor = image.shape[-1] // model.size
            hdu = _make_hdu(cutout, image, factor, model)
            with replacing(out / _name_file(cutout, factor, names)) as temporary:
                hdu.writeto(temporary)
            count += 1
    return count


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from None


def _name_file(cutout: Cutout, factor: int, names: Counter[str]) -> str:
    """The file of an image; images of one name in several folders are numbered."""
    stem = cutout.path.name.partition(".")[0]
    stem += f"-{cutout.index:05d}" if cutout.count > 1 else ""
    names[stem] += 1
    return f"{stem}_x{factor}{f'-{names[stem]}' if names[stem] > 1 else ''}.fits"


def _make_hdu(
    cutout: Cutout, image: NDArray[np.float32], factor: int, model: Model
) -> fits.PrimaryHDU:
    """A super-resolved image without its padding, with the WCS of the original where it has one."""
    frame = cutout.frame
    rows, columns = (
        slice(part.start * factor, part.stop * factor) for part in (frame.rows, frame.columns)
    )
    header = fits.Header()
    if cutout.wcs is not None:
        header = _zoom_wcs(cutout.wcs, frame.corner, frame.step / factor).to_header(relax=True)
    if cutout.unit is not None:
        header["BUNIT"] = cutout.unit
    header["PIXSCALE"] = (model.pixel_scale / factor, "arcsec")
    header["NBADPIX"] = (cutout.bad, "pixels of the original that were filled")
    header["ORIGFILE"] = cutout.path.name.encode("ascii", "replace").decode()
    header["ORIGIDX"] = (cutout.index, "of the image in its file, from 0")
    return fits.PrimaryHDU(image[rows, columns], header)


def _zoom_wcs(wcs: WCS, corner: tuple[float, float], step: float) -> WCS:
    """The WCS of pixels that are ``step`` old ones wide, the first of them at ``corner`` (y, x)."""
    zoomed = copy.deepcopy(wcs)
    edge = np.array(corner[::-1])
    # The edge of the first pixel is at 0.5 in FITS.
    zoomed.wcs.crpix = (wcs.wcs.crpix - 0.5 - edge) / step + 0.5
    if wcs.wcs.has_cd():
        zoomed.wcs.cd = wcs.wcs.cd * step
    else:
        zoomed.wcs.cdelt = wcs.wcs.cdelt * step
    if wcs.sip is not None:
        zoomed.sip = _zoom_sip(wcs.sip, zoomed.wcs.crpix, step)
    return zoomed


def _zoom_sip(sip: Sip, crpix: NDArray[np.float64], step: float) -> Sip:
    """Distortions as polynomials of the new pixels: those of order n scale with step^(n - 1)."""

    def scaled(terms: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if terms is None:
            return None
        order = np.add.outer(np.arange(len(terms)), np.arange(len(terms)))
        return terms * step ** (order - 1.0)

    return Sip(scaled(sip.a), scaled(sip.b), scaled(sip.ap), scaled(sip.bp), crpix)
