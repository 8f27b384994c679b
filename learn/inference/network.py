"""A trained network as it is used: the form of the images that it was trained on."""

from __future__ import annotations

import abc
from pathlib import Path

from torch import nn

from learn.data import Stretch
from learn.data_description import DataDescription
from simulate.importers.units import is_surface_brightness

#: Largest flux in units of the noise level of the training images, and in any unit.
_RANGE, _LARGEST = 1e15, 1e30


class Network(nn.Module, abc.ABC):
    """A trained network with the form of its training images.

    Attributes:
        purpose: its task, or ``embed``.
        data: the form of the data that it was trained on.
        folder: folder of the run.
    """

    #: True where it makes images (B, 1, H, W), else it makes numbers (B, n).
    makes_images: bool = False

    def __init__(self, purpose: str, data: DataDescription, folder: Path) -> None:
        super().__init__()
        self.purpose, self.data, self.folder = purpose, data, folder

    @property
    @abc.abstractmethod
    def column(self) -> str:
        """The column of a data set that it sees: ``image`` or ``image_lr``."""

    @property
    @abc.abstractmethod
    def flux_stretch(self) -> Stretch:
        """The stretch of its fluxes."""

    @property
    def size(self) -> int:
        """Pixels on a side of the images it was trained on."""
        return self.data.side(self.column)

    @property
    def pixel_scale(self) -> float:
        """Width of a pixel of the images it was trained on, arcsec."""
        return float(
            self.data.attrs["pixel_scale_lr" if self.column == "image_lr" else "pixel_scale"]
        )

    @property
    def unit(self) -> str:
        """Unit of the fluxes it was trained on."""
        return str(self.data.attrs.get("unit", "unknown"))

    @property
    def surface_brightness(self) -> bool:
        """True where its images hold flux per solid angle, False where they hold flux per pixel."""
        return is_surface_brightness(self.data.attrs.get("unit")) is True

    @property
    def factor(self) -> int:
        """Pixels of the images it makes along a side of one that it was given."""
        return self.data.side("image") // self.size if self.makes_images else 1

    @property
    def largest(self) -> float:
        """Largest flux that it works with: squares of more overflow; no camera counts as far."""
        return min(_RANGE * self.softening, _LARGEST)

    @property
    def softening(self) -> float:
        """Flux by which images are divided first: their noise level, or a part of their peak."""
        return float(self.flux_stretch.softening)

    @property
    def label_names(self) -> list[str]:
        """Names of the classes of its data set."""
        return self.data.label_names
