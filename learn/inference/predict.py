"""Predict what a fine-tuned network says of images in files: one table, or super-resolved FITS."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, Sip
from numpy.typing import NDArray
from pydantic import Field

from learn.inference.model import Model, load_model
from learn.inference.resample import TOLERANCE, Frame, framed
from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing
from simulate.importers.errors import BrokenFileError, printable
from simulate.importers.run import filled
from simulate.importers.stacks import Stack, find_files, opened

#: Endings of a table, and what astropy calls its format.
FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}
#: Broken images that are named one by one.
_NAMED = 10

#: Called with a file and the part of it that has been dealt with since the last call.
Progress = Callable[[Path, float], None]


class PredictConfig(Strict):
    """Options of ``python cli.py predict``; defaults live in ``configs/predict/predict.yaml``."""

    out: Path | None = Field(description="table, or folder of super-resolved images")
    pixel_scale: float | None = Field(gt=0, description="arcsec, of files that do not say it")
    exposure_time: float | None = Field(
        gt=0, description="s in all, of images that do not say it; null: as in training"
    )
    fill: Literal["median", "zero"] = Field(description="value of bad pixels")
    batch_size: int = Field(gt=0)
    device: Literal["auto", "cpu", "cuda"]


@dataclasses.dataclass(frozen=True)
class Sight:
    """One image as the network sees it, and where it comes from."""

    path: Path
    index: int
    count: int
    """of the images in its file"""
    frame: Frame
    bad: int
    """pixels that had to be filled"""
    unit: str | None
    wcs: WCS | None
    exposure_time: float
    """s; NaN where it is not known"""


class Remarks:
    """What there is to say at the end: broken images by name, and counts of what was done."""

    def __init__(self) -> None:
        self._notes: Counter[str] = Counter()
        self.broken: list[str] = []

    def skip(self, name: str, error: BrokenFileError) -> None:
        """An image or file that has to be left out."""
        self.broken.append(f"{printable(name)}: {error}")

    def note(self, notes: Iterable[str]) -> None:
        """What was done to one image."""
        self._notes.update(notes)

    def lines(self, predicted: int) -> Iterator[str]:
        """All of it, the first of each kind one by one."""
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

    Images that cannot be read are left out, and said so; nothing else is lost with them.

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
    model = load_model(run).to(_device(config))
    out = _place(config, model)
    remarks = Remarks()
    files = list(dict.fromkeys(path for name in inputs for path in _files(name, remarks)))
    report = progress(files) if progress else _silent
    sights = _sights(files, model, config, remarks, report)
    predictions = _predictions(model, sights, config.batch_size)
    write = _write_images if model.task.makes_images else _write_table
    count = write(out, predictions, model)
    if not count:
        first = remarks.broken[0] if remarks.broken else "they hold no images"
        raise InputError(f"nothing to predict: {first}")
    for line in remarks.lines(count):
        (warn or print)(line)
    return out, count


def _silent(path: Path, part: float) -> None:
    """No progress is shown."""


def _device(config: PredictConfig) -> str:
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise InputError("--device cuda: there is no CUDA device here; use --device cpu")
    if config.device != "auto":
        return config.device
    return "cuda" if available else "cpu"


def _place(config: PredictConfig, model: Model) -> Path:
    """Where the predictions go."""
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


def _files(name: Path, remarks: Remarks) -> list[Path]:
    try:
        return find_files(name)
    except BrokenFileError as error:
        remarks.skip(str(name), error)
        return []


def _sights(
    files: Sequence[Path], model: Model, config: PredictConfig, remarks: Remarks, report: Progress
) -> Iterator[Sight]:
    """All images in the frame of the network; the broken ones are remarked upon and left out."""
    for path in files:
        done = 0.0
        try:
            with opened(path, model.task.column) as stack:
                scale = _scale(stack, config.pixel_scale)
                for index in range(stack.count):
                    try:
                        sight = _sight(path, index, stack, scale, model, config)
                    except BrokenFileError as error:
                        several = stack.count > 1
                        remarks.skip(f"{path}[{index}]" if several else str(path), error)
                    else:
                        remarks.note(_notes(sight, model))
                        yield sight
                    report(path, 1 / stack.count)
                    done += 1 / stack.count
        except BrokenFileError as error:
            remarks.skip(str(path), error)
        report(path, 1 - done)


def _scale(stack: Stack, given: float | None) -> float:
    """The pixel scale of the images of a file, arcsec."""
    said = stack.pixel_scale
    if said is None and given is None:
        raise BrokenFileError("it does not say its pixel scale; give --pixel-scale ARCSEC")
    if said is not None and given is not None and abs(given / said - 1) > TOLERANCE:
        raise BrokenFileError(f"--pixel-scale {given:g}: the file says {said:.4g} arcsec")
    scale = given if said is None else said
    assert scale is not None
    return scale


def _sight(
    path: Path,
    index: int,
    stack: Stack,
    scale: float,
    model: Model,
    config: PredictConfig,
) -> Sight:
    image, bad = filled(stack.plane(index), config.fill)
    frame = framed(image, model.size, scale, model.pixel_scale)
    exposure = math.nan if stack.exposure_time is None else float(stack.exposure_time[index])
    if not exposure > 0 and config.exposure_time is not None:
        exposure = config.exposure_time
    return Sight(path, index, stack.count, frame, bad, stack.unit, stack.wcs, exposure)


def _notes(sight: Sight, model: Model) -> Iterator[str]:
    yield from sight.frame.notes
    known = sight.unit not in (None, "unknown") and model.unit != "unknown"
    if known and sight.unit != model.unit:
        yield f"in '{sight.unit}', where the network was trained on '{model.unit}'"


@torch.inference_mode()
def _predictions(
    model: Model, sights: Iterable[Sight], batch_size: int
) -> Iterator[tuple[list[Sight], torch.Tensor]]:
    """Images in batches, with what the network says of them."""
    rest = iter(sights)
    while batch := list(itertools.islice(rest, batch_size)):
        pixels = np.stack([sight.frame.pixels for sight in batch]).astype(np.float32)
        exposure = np.array([sight.exposure_time for sight in batch])
        yield batch, model(pixels, exposure).float().cpu()


Predictions = Iterable[tuple[list[Sight], torch.Tensor]]


def _write_table(out: Path, predictions: Predictions, model: Model) -> int:
    """One row an image; returns how many."""
    parts = [
        {
            "file": np.array([_written(sight.path, out) for sight in batch]),
            "index": np.array([sight.index for sight in batch]),
            **model.task.table(values),
            "n_bad_pixels": np.array([sight.bad for sight in batch]),
        }
        for batch, values in predictions
    ]
    if not parts:
        return 0
    table = Table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    _made(out.parent)
    with replacing(out) as temporary:
        table.write(temporary, format=FORMATS[out.suffix])
    return len(table)


def _written(path: Path, out: Path) -> str:
    """The name of a file as the table can hold it: FITS knows ASCII, and names may be any bytes."""
    encoding = "ascii" if out.suffix == ".fits" else "utf-8"
    return str(path).encode(encoding, "backslashreplace").decode(encoding)


def _write_images(out: Path, predictions: Predictions, model: Model) -> int:
    """One FITS file an image; returns how many."""
    names: Counter[str] = Counter()
    count = 0
    for batch, images in predictions:
        _made(out)
        for sight, image in zip(batch, images[:, 0].numpy(), strict=True):
            factor = image.shape[-1] // model.size
            hdu = _finer(sight, image, factor, model)
            with replacing(out / _name(sight, factor, names)) as temporary:
                hdu.writeto(temporary)
            count += 1
    return count


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from None


def _name(sight: Sight, factor: int, names: Counter[str]) -> str:
    """The file of an image; images of one name in several folders are numbered."""
    stem = sight.path.name.partition(".")[0]
    stem += f"-{sight.index:05d}" if sight.count > 1 else ""
    names[stem] += 1
    return f"{stem}_x{factor}{f'-{names[stem]}' if names[stem] > 1 else ''}.fits"


def _finer(sight: Sight, image: NDArray[np.float32], factor: int, model: Model) -> fits.PrimaryHDU:
    """A super-resolved image without its padding, with the WCS of the original where it has one."""
    frame = sight.frame
    rows, columns = (
        slice(part.start * factor, part.stop * factor) for part in (frame.rows, frame.columns)
    )
    header = fits.Header()
    if sight.wcs is not None:
        header = _zoomed(sight.wcs, frame.corner, frame.step / factor).to_header(relax=True)
    if sight.unit is not None:
        header["BUNIT"] = sight.unit
    header["PIXSCALE"] = (model.pixel_scale / factor, "arcsec")
    header["NBADPIX"] = (sight.bad, "pixels of the original that were filled")
    header["ORIGFILE"] = sight.path.name.encode("ascii", "replace").decode()
    header["ORIGIDX"] = (sight.index, "of the image in its file, from 0")
    return fits.PrimaryHDU(image[rows, columns], header)


def _zoomed(wcs: WCS, corner: tuple[float, float], step: float) -> WCS:
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
        zoomed.sip = _zoomed_sip(wcs.sip, zoomed.wcs.crpix, step)
    return zoomed


def _zoomed_sip(sip: Sip, crpix: NDArray[np.float64], step: float) -> Sip:
    """Distortions as polynomials of the new pixels: those of order n scale with step^(n - 1)."""

    def scaled(terms: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if terms is None:
            return None
        order = np.add.outer(np.arange(len(terms)), np.arange(len(terms)))
        return terms * step ** (order - 1.0)

    return Sip(scaled(sip.a), scaled(sip.b), scaled(sip.ap), scaled(sip.bp), crpix)
