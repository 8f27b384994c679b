"""Places of predictions: a table or a folder of images, and nothing that would be lost there.

This file imports no torch, so that refusals answer at once.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from learn.run_files import CONFIG, EVALUATION, METRICS
from lensphys.ground.errors import InputError
from lensphys.ground.files import check_output, read_json
from simulate.importers.roles import HDF5, PACKED, PLAIN_FITS, split_extension
from simulate.shards import MANIFEST

#: Endings of a table, and what astropy calls its format.
FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}
#: The first columns of every table, and the last; those of earlier versions end with the first of
#: the latter.
FIRST, LAST = ("file", "index"), ("n_bad_pixels", "flag")
#: Keys of the header of a super-resolved image that no other program writes together.
IMAGE_KEYS = ("NBADPIX", "ORIGFILE", "ORIGIDX")

#: Predictions of an evaluation or a run.
PREDICTIONS = "predictions.h5"

#: Files by which folders are known that nothing else is written to.
_OWNERS = {MANIFEST: "of a data set", CONFIG: "of a run"}
#: Bytes in which the columns of a table stand, and the keys of an image.
_TABLE_HEAD, _IMAGE_HEAD = 2**20, 2**16
#: Bytes; a file system takes 255 for a name, and those of temporary files are longer by 38.
_LONGEST_STEM = 180
_ENDINGS = (*PLAIN_FITS, *HDF5, ".npy")
_COLUMN = re.compile(rb"TTYPE\d+ *= '((?:[^']|'')*)'")


def check_early(out: Path | None, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse a table that would replace what it must not, before the network is read.

    Raises:
        InputError: for one.
    """
    if out is not None and out.suffix in FORMATS:
        _check_table(out, inputs, overwrite=overwrite)


def choose_table(out: Path | None, inputs: Iterable[Path], *, overwrite: bool) -> Path:
    """Return the table to write.

    Args:
        out: as given; None: the default.
        inputs: files and folders, as they were named.
        overwrite: replace any file but an input.

    Raises:
        InputError: for a name that is no table, an input, or a file that is no such table.
    """
    out = out or Path("predictions.csv")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a table in it: {out / 'predictions.csv'}")
    if out.suffix not in FORMATS:
        raise InputError(f"--out {out}: a table ends in {', '.join(FORMATS)}")
    _check_table(out, inputs, overwrite=overwrite)
    return out


def choose_folder(
    out: Path | None, task: str, inputs: Sequence[Path], *, factor: int, overwrite: bool
) -> Path:
    """Return the folder to write images to.

    Args:
        out: as given; None: the default.
        task: that makes images.
        inputs: all files.
        factor: of the network, which is in the names of the images.
        overwrite: write beside inputs, into data sets and runs, and over any file.

    Raises:
        InputError: for a file, for a folder that holds an input, a data set or a run, or a file
            that is no such image and would be replaced.
    """
    out = out or Path("predictions")
    if out.suffix in FORMATS or (out.exists() and not out.is_dir()):
        raise InputError(f"--out {out}: {task} makes images, one file each; name a folder")
    if not out.is_dir():
        return out
    # A link in a circle has a real path, but cannot be resolved.
    folders = {os.path.realpath(folder) for folder in {path.parent for path in inputs}}
    if not overwrite:
        holds = next((words for name, words in _OWNERS.items() if (out / name).exists()), None)
        if holds is None and os.path.realpath(out) in folders:
            holds = "of inputs"
        if holds:
            raise InputError(
                f"--out {out} is the folder {holds}; choose another --out, or write there with "
                "--overwrite"
            )
    stems = {name_stem(path) for path in inputs}
    known = {os.path.realpath(split_extension(path)[0]) for path in inputs}
    name = re.compile(rf"(.*?)(?:-\d{{5,}})?_x{factor}(?:-\d+)?\.fits", re.DOTALL)
    for path in sorted(out.iterdir()):
        found = name.fullmatch(path.name)
        if found and found[1] in stems:
            if os.path.realpath(path) in known:  # others are written before it is read
                raise InputError(f"--out {out} holds {path.name}, an input; choose another --out")
            check_image(path, overwrite=overwrite)
    return out


def check_evaluation(out: Path, figures: Iterable[str], *, overwrite: bool) -> None:
    """Refuse a folder for an evaluation that would replace what it must not.

    Args:
        out: the folder.
        figures: names of the figures of the task, without ``.png``.
        overwrite: replace any file in it, but not those of a run or a data set.

    Raises:
        InputError: for a file, the folder of a run or a data set, or one that holds a file of the
            same name as an evaluation has, but no evaluation.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    for name, words in _OWNERS.items():
        if (out / name).exists():
            raise InputError(f"{out} is the folder {words}; choose another --out")
    if overwrite or _is_evaluation(out / EVALUATION):
        return
    names = (METRICS, PREDICTIONS, EVALUATION, *(f"{figure}.png" for figure in figures))
    there = [name for name in names if os.path.lexists(out / name)]
    if there:
        raise InputError(
            f"{out} holds {', '.join(there)} and is no evaluation; choose another --out, or "
            "replace files with --overwrite"
        )


def _is_evaluation(path: Path) -> bool:
    try:
        return path.is_file() and read_json(path).keys() >= {"task", "run", "data"}
    except (OSError, ValueError):
        return False


def check_image(path: Path, *, overwrite: bool) -> Path:
    """Return the file of an image, links followed; refuse one that the program has not made.

    Raises:
        InputError: for one.
    """
    return check_output(path, "super-resolved image", is_image, overwrite=overwrite)


def drop_outputs(files: Iterable[Path], out: Path) -> list[Path]:
    """Files of a folder without those that an earlier run of the same command has made of them."""
    place, made = os.path.realpath(out), is_table if out.suffix in FORMATS else is_image
    return [path for path in files if not (_lies_at(path, place) and _holds(made, path))]


def name_stem(path: Path) -> str:
    """The name of a file without the endings of its format, short enough for another name."""
    stem = split_extension(path)[0].name
    for endings in (PACKED, _ENDINGS):
        stem = next((stem[: -len(e)] for e in endings if stem.lower().endswith(e)), stem)
    stem = stem.strip(".") or "image"
    while len(stem.encode("utf-8", "surrogateescape")) > _LONGEST_STEM:
        stem = stem[:-1]
    return stem


def is_table(path: Path) -> bool:
    """Tell whether a file is a table of predictions, by the names of its columns."""
    head = _read_head(path, _TABLE_HEAD)
    if path.suffix == ".fits":
        names = [found.decode("latin-1").rstrip() for found in _COLUMN.findall(head)]
    else:
        lines: Iterator[str] = iter(head.decode("utf-8", "replace").splitlines(keepends=True))
        if path.suffix == ".ecsv":
            lines = itertools.dropwhile(lambda line: line.startswith("#"), lines)
        try:
            names = next(csv.reader(lines, delimiter=" " if path.suffix == ".ecsv" else ","), [])
        except csv.Error:
            return False
    return tuple(names[:2]) == FIRST and (names[-1] == LAST[0] or tuple(names[-2:]) == LAST)


def is_image(path: Path) -> bool:
    """Tell whether a file is a super-resolved image, by the keys of its header."""
    head = _read_head(path, _IMAGE_HEAD)
    cards = {head[start : start + 8].rstrip() for start in range(0, len(head), 80)}
    return head.startswith(b"SIMPLE") and cards.issuperset(key.encode() for key in IMAGE_KEYS)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what a disk or a folder refuses into one line.

    Raises:
        InputError: for an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write to {place}: {error.strerror or error}; make room or choose another "
            "--out, and run the same command again"
        ) from None


def _check_table(out: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    named = [split_extension(path)[0] for path in inputs]
    check_output(out, "table of predictions", is_table, inputs=named, overwrite=overwrite)


def _lies_at(path: Path, place: str) -> bool:
    """Tell whether a file is at a place, or in the folder there."""
    real = Path(os.path.realpath(path))
    return place in (str(real), str(real.parent))


def _holds(made: Callable[[Path], bool], path: Path) -> bool:
    try:
        return path.is_file() and made(path)  # a pipe would wait for someone to write
    except OSError:
        return False


def _read_head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
