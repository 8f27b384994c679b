"""Contents of a data set: counts, shapes, and the ranges of its parameters."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulate.dataset.columns import in_order, unit
from simulate.dataset.padding import count_padded, read_padding
from simulate.hdf5 import DamagedFileError, read_hdf5
from simulate.shard_form import AGAIN, ShardForm
from simulate.shards import read_manifest

#: Values of a column that are kept for medians and histograms, whatever the number of images.
_KEPT = 100_000


@dataclasses.dataclass(frozen=True)
class Column:
    """A parameter over all images to which it applies."""

    name: str
    count: int
    """images to which it applies; it is NaN in the others"""
    low: float
    high: float
    values: NDArray[np.float64]
    """a random sample of the values, in large data sets; else all of them"""
    labels: NDArray[np.int64]
    """labels of the same images"""

    @property
    def median(self) -> float:
        """Median of the values that are kept."""
        return float(np.median(self.values))

    @property
    def constant(self) -> bool:
        """The same in all images to which it applies."""
        return self.low == self.high

    @property
    def in_words(self) -> str:
        """The value of a constant column, in words."""
        return f"{self.name} = {self.low:.6g} {unit(self.name)}".rstrip()


@dataclasses.dataclass(frozen=True)
class Summary:
    """A data set, finished or not, as far as its shards can be read."""

    folder: Path
    manifest: dict[str, Any]
    attrs: dict[str, Any]
    """attributes of its first shard; empty where there is none"""
    shapes: dict[str, tuple[int, ...]]
    """shape of one image under each name: ``image`` and perhaps ``image_lr``"""
    counts: dict[str, int]
    """images of each class"""
    columns: list[Column]
    """columns, in the order of :func:`simulate.dataset.columns.known_columns`"""
    bytes: int
    """size on disk"""
    samples: dict[str, list[tuple[str, int]]]
    """the first images of each class: shard and position in it"""
    damaged: dict[str, str]
    """what is wrong with each shard that cannot be used"""
    padded: tuple[int, int] = (0, 0)
    """images with padding, and the pixels of it"""
    parts: dict[str, int] = dataclasses.field(default_factory=dict)
    """images of each part of a published split"""

    @property
    def images(self) -> int:
        """Images in shards that can be read."""
        return sum(self.counts.values())

    @property
    def total(self) -> int:
        """Images in the shards that the manifest lists."""
        return sum(shard["n"] for shard in self.manifest["shards"])

    @property
    def sampled(self) -> bool:
        """Medians and histograms are of a sample of the images."""
        return any(len(column.values) < column.count for column in self.columns)


def deflection_scale(summary: Summary) -> str:
    """Words on the factor ``alpha_scale`` and the labels; empty where the factor is 1."""
    scale = float(summary.attrs.get("alpha_scale", 1.0))
    radius = next((column for column in summary.columns if column.name == "theta_E"), None)
    if scale == 1.0 or not radius:
        return ""
    words = f"all times {scale:.3g}: theta_E, gamma1 and gamma2 are before this factor"
    if summary.attrs.get("main_profile") == "SIE":
        ring, on_sky = radius.median, scale * radius.median
        words += f"; theta_E = {ring:.4g} arcsec is a ring of {on_sky:.3g} arcsec on the sky"
    return words


def summarize(folder: Path, samples: int = 6) -> Summary:
    """Read labels and parameters of a data set, shard by shard, in memory that does not grow.

    Args:
        folder: of the data set.
        samples: images of each class whose places are noted.

    Raises:
        InputError: if the folder holds no data set, or a shard that cannot be read now.
    """
    manifest = read_manifest(folder)
    names = [str(name) for name in manifest["label_names"]]
    attrs: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    damaged: dict[str, str] = {}
    counts = np.zeros(len(names), np.int64)
    places: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    columns: dict[str, _Collector] = {}
    padded = np.zeros(2, np.int64)
    parts: Counter[int] = Counter()
    # Which images are kept is random, lest every third of them be of one class.
    total = sum(entry["n"] for entry in manifest["shards"])
    rng = np.random.default_rng(0)
    for entry in manifest["shards"]:
        path = folder / entry["file"]
        try:
            with read_hdf5(path, AGAIN) as file:
                form = ShardForm.of_file(path, file, entry["n"])
                label, params = form.read_labels(), form.read_params()
                if len(form.attrs["label_names"]) != len(names):
                    raise DamagedFileError(f"{path} has other classes than the manifest; {AGAIN}")
                images = {name: v.shape[1:] for name, v in form.columns.items() if name != "label"}
        except DamagedFileError as error:
            damaged[entry["file"]] = str(error)
            continue
        shapes, attrs = shapes or images, attrs or form.attrs
        for index, name in enumerate(names):
            here = np.flatnonzero(label == index)
            counts[index] += len(here)
            missing = samples - len(places[name])
            places[name] += [(entry["file"], int(i)) for i in here[:missing]]
        if (padding := read_padding(params)) is not None:
            ny, nx = images["image"][-2:]
            pixels = count_padded(padding, (ny, nx))
            padded += np.count_nonzero(pixels), pixels.sum()
        parts.update(params.get("split", np.empty(0)).tolist())
        keep = rng.random(len(label)) * total < _KEPT
        for name, values in params.items():
            columns.setdefault(name, _Collector()).add(values, label, keep)
    return Summary(
        folder,
        manifest,
        attrs,
        shapes,
        dict(zip(names, counts.tolist(), strict=True)),
        [column for name in in_order(columns) if (column := columns[name].column(name))],
        _bytes_in(folder),
        places,
        damaged,
        (int(padded[0]), int(padded[1])),
        {str(name): parts[k] for k, name in enumerate(attrs.get("split_names", ()))},
    )


def _bytes_in(folder: Path) -> int:
    size = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may have just removed it
            size += path.stat().st_size if path.is_file() else 0
    return size


@dataclasses.dataclass
class _Collector:
    """Values of one parameter as far as they have been read."""

    count: int = 0
    low: float = np.inf
    high: float = -np.inf
    values: list[NDArray[np.float64]] = dataclasses.field(default_factory=list)
    labels: list[NDArray[np.int64]] = dataclasses.field(default_factory=list)

    def add(
        self, values: NDArray[np.float64], label: NDArray[np.int64], keep: NDArray[np.bool_]
    ) -> None:
        there = np.isfinite(values)
        if not there.any():
            return
        self.count += int(there.sum())
        self.low = min(self.low, float(values[there].min()))
        self.high = max(self.high, float(values[there].max()))
        self.values.append(values[there & keep])
        self.labels.append(label[there & keep])

    def column(self, name: str) -> Column | None:
        if not self.count:
            return None
        values, labels = np.concatenate(self.values), np.concatenate(self.labels)
        if not len(values):  # so rare that none of them was kept
            values, labels = np.array([self.low, self.high]), np.full(2, -1)
        return Column(name, self.count, self.low, self.high, values, labels)
