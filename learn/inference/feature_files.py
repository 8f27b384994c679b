"""Tables of features: HDF5, Parquet and CSV, one row an image.

This file imports no torch, so that refusals answer at once.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from lensphys.ground.files import cannot_write, check_output
from lensphys.ground.locks import replacing_alone
from lensphys.ground.names import plain_text
from simulate.hdf5 import error_number
from simulate.importers.roles import split_extension
from simulate.shards import MANIFEST

#: Mark in HDF5 and Parquet files, by which they are known again.
CREATOR = "lensphys embed"
#: Endings of the formats.
HDF5, PARQUET, CSV = (".h5", ".hdf5"), ".parquet", ".csv"
_ENDINGS = (*HDF5, PARQUET, CSV)
#: The first columns of a table, and the name of a feature with this number.
_FIRST, _FEATURE = ("file", "index", "label", "flag"), "feature_{}"
#: Bytes at either end of a file in which the mark stands.
_ENDS = 2**16


@dataclasses.dataclass(frozen=True)
class FeatureTable:
    """Features of N images.

    Attributes:
        features: (N, D); NaN where they could not be computed.
        files: N files, or N times the folder of a data set.
        index: (N,) number of the image in its file, or in its data set.
        flags: (N,) words, empty where the features were computed.
        label: (N,) class, an index into ``label_names``; None where images have none.
        label_names: names of the classes.
        encoder: the folder of the encoder.
    """

    features: NDArray[np.float32]
    files: list[str]
    index: NDArray[np.int64]
    flags: list[str]
    label: NDArray[np.int64] | None
    label_names: list[str]
    encoder: str

    @property
    def labels(self) -> list[str]:
        """N names of classes, empty where there are none."""
        if self.label is None:
            return [""] * len(self.index)
        return [plain_text(self.label_names[number]) for number in self.label]


def find_data_set(inputs: Sequence[Path]) -> Path | None:
    """Return the folder of a data set, if the input is one.

    Raises:
        InputError: for one among other inputs.
    """
    sets = [path for path in inputs if (path / MANIFEST).is_file()]
    if sets and len(inputs) > 1:
        raise InputError(f"{sets[0]} is a data set; give it alone, or its files: {sets[0]}/*.h5")
    return sets[0] if sets else None


def choose_table(out: Path | None, inputs: Iterable[Path], *, overwrite: bool = False) -> Path:
    """Return the table to write, links followed.

    Args:
        out: as given; None: the default.
        inputs: files and folders, none of which is replaced.
        overwrite: replace any file but an input.

    Raises:
        InputError: for a name that is no table, one in a folder of a data set, an input, or a file
            that is no such table.
    """
    out = out or Path("features.h5")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a table in it: {out / 'features.h5'}")
    if out.suffix not in _ENDINGS:
        raise InputError(f"--out {out}: a table of features ends in {', '.join(_ENDINGS)}")
    if out.suffix == PARQUET and not find_spec("pyarrow"):
        raise InputError(
            "Parquet needs one more package; install it with `pip install 'lensphys[parquet]'`, or "
            "name a table that ends in .h5 or .csv"
        )
    named = [split_extension(path)[0] for path in inputs]
    return check_output(out, "table of features", is_table, inputs=named, overwrite=overwrite)


def write_table(table: FeatureTable, place: Path) -> None:
    """Write a table of features, whole or not at all, in the format of its ending.

    HDF5 holds ``features`` (N, D), ``file``, ``index``, ``flag`` and, where there are labels,
    ``label``, with the attribute ``label_names``. Parquet and CSV have a column for each feature.

    Raises:
        InputError: if it cannot be written, as on a full disk.
    """
    write = _write_csv
    if place.suffix != CSV:
        write = _write_parquet if place.suffix == PARQUET else _write_hdf5
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing_alone(place) as temporary:
            write(table, temporary)
    except (OSError, RuntimeError) as error:  # HDF5 answers a full disk with either
        raise cannot_write(place, error_number(error), str(error)) from None


def is_table(path: Path) -> bool:
    """Tell whether a file is a table of features, by its mark or the names of its columns."""
    if path.suffix == CSV:
        with path.open(encoding="utf-8", newline="") as file:
            names = next(csv.reader(file), [])
        return tuple(names[: len(_FIRST)]) == _FIRST and names[-1].startswith(_FEATURE.format(""))
    if path.suffix == PARQUET:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _ENDS))
            return CREATOR.encode() in file.read()
    with h5py.File(path, "r", locking=False) as file:
        return bool(file.attrs.get("creator") == CREATOR)


def _write_hdf5(table: FeatureTable, path: Path) -> None:
    text = h5py.string_dtype()
    with h5py.File(path, "w", locking=False) as file:
        file.create_dataset("features", data=table.features)
        file.create_dataset("file", data=np.array(table.files, object), dtype=text)
        file.create_dataset("index", data=table.index)
        file.create_dataset("flag", data=np.array(table.flags, object), dtype=text)
        if table.label is not None:
            file.create_dataset("label", data=table.label)
            file.attrs["label_names"] = [plain_text(name) for name in table.label_names]
        file.attrs["creator"], file.attrs["encoder"] = CREATOR, table.encoder


def _write_parquet(table: FeatureTable, path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = dict(zip(_FIRST, (table.files, table.index, table.labels, table.flags), strict=True))
    columns |= {_FEATURE.format(i): values for i, values in enumerate(table.features.T)}
    about = {"creator": CREATOR, "encoder": table.encoder}
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(about), path)


def _write_csv(table: FeatureTable, path: Path) -> None:
    names = [*_FIRST, *(_FEATURE.format(i) for i in range(table.features.shape[1]))]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        rows = zip(table.files, table.index, table.labels, table.flags, strict=True)
        for first, features in zip(rows, table.features, strict=True):
            writer.writerow([*first, *features.astype(str)])  # the fewest digits that suffice
