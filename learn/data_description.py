"""The form of a data set, without its images, which a network needs after training."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import Any

from simulate.shards import DataSet


@dataclasses.dataclass(frozen=True)
class DataDescription:
    """The form of a data set; it travels with the weights of a network.

    Attributes:
        attrs: of the shards: ``label_names``, ``pixel_scale``, ``unit`` and the rest.
        config: that the data set was made from, with names of files in place of their paths.
        images: number of images, test images included.
        shapes: pixels ``[ny, nx]`` of an image, by column.
        params: names of the columns that describe an image.
    """

    attrs: dict[str, Any]
    config: dict[str, Any]
    images: int
    shapes: dict[str, list[int]]
    params: list[str]

    @property
    def label_names(self) -> list[str]:
        """Names of the classes, in the order of their labels."""
        return [str(name) for name in self.attrs["label_names"]]

    def side(self, column: str) -> int:
        """Pixels on a side of the images in a column."""
        return self.shapes[column][-1]


def describe(data: DataSet) -> DataDescription:
    """Describe a data set."""
    columns = {"image": data.image, "image_lr": data.image_lr}
    shapes = {name: list(c.shape[-2:]) for name, c in columns.items() if c is not None}
    config = strip_paths(data.config)
    return DataDescription(data.attrs, config, len(data), shapes, list(data.params))


def strip_paths(value: Any) -> Any:
    """A configuration with the names of files in place of their absolute paths."""
    if isinstance(value, dict):
        return {key: strip_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strip_paths(item) for item in value]
    absolute = isinstance(value, str) and PurePath(value).is_absolute()
    return PurePath(value).name if absolute else value
