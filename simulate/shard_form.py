"""The form of a shard: which arrays and attributes it has, and of which kind."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensphys.ground.names import plain_text, shorten
from lensphys.ground.numbers import is_number
from lensphys.ground.room import check_memory
from simulate.hdf5 import DamagedFileError, array, check_declared

Array = NDArray[Any]

#: Advice on whatever is wrong with a shard.
AGAIN = "run the command that made it again to repair the data set"
#: Kind of the values of each column; those of parameters are of the last kind.
_KINDS = {"image": np.float32, "image_lr": np.float32, "label": np.int64}
_OF_PARAMS = np.float64
#: Attributes of every shard that are text, and those that are numbers where a shard has them.
_TEXTS = ("unit", "preset")
_POSITIVE = ("pixel_scale", "pixel_scale_lr", "psf_fwhm", "psf_fwhm_lr", "alpha_scale")
_NUMBERS = (*_POSITIVE, "psf_truncation", "psf_beta", "background_sigma", "background_sigma_lr")


@dataclasses.dataclass(frozen=True)
class ShardForm:
    """Arrays and attributes of an open shard, checked as far as they can be before they are read.

    Attributes:
        path: of the shard.
        columns: ``image``, ``label`` and perhaps ``image_lr``.
        params: what describes the images, each (N,).
        attrs: attributes.
    """

    path: Path
    columns: dict[str, h5py.Dataset]
    params: dict[str, h5py.Dataset]
    attrs: dict[str, Any]

    @classmethod
    def of_file(cls, path: Path, file: h5py.File, n: int) -> ShardForm:
        """The form of a shard of ``n`` images.

        Raises:
            DamagedFileError: for arrays of another kind or shape, or attributes that are missing.
        """
        columns = {name: array(file, name) for name in _KINDS if name in file}
        group = file["params"]
        params = {name: array(group, name) for name in group}
        form = cls(path, columns, params, {key: _plain(v) for key, v in file.attrs.items()})
        check_declared(path, (*columns.values(), *params.values()), AGAIN)
        form._check_kinds()
        form._check_shapes(n)
        form._check_attributes()
        return form

    def read_labels(self) -> NDArray[np.int64]:
        """Labels, each of one of the classes.

        Raises:
            DamagedFileError: for others.
        """
        label = np.asarray(self.columns["label"][()], np.int64)
        most = len(self.attrs["label_names"])
        if len(label) and not (label.min() >= 0 and label.max() < most):
            raise self._refusal(f"has labels that are not those of its {most} classes")
        return label

    def read_params(self) -> dict[str, NDArray[np.float64]]:
        """Parameters; NaN where one does not apply.

        Raises:
            DamagedFileError: for infinite ones.
        """
        params = {name: np.asarray(v[()], _OF_PARAMS) for name, v in self.params.items()}
        for name, values in params.items():
            if np.isinf(values).any():
                raise self._refusal(f"has infinite values in '{_shown(name)}'")
        return params

    def read_images(self) -> dict[str, NDArray[np.float32]]:
        """Images, of each resolution; all pixels are finite.

        Raises:
            DamagedFileError: for others.
            InputError: for more than fit into memory.
        """
        columns = {name: values for name, values in self.columns.items() if name != "label"}
        check_memory(
            sum(values.nbytes for values in columns.values()),
            f"the images of {self.path}",
            "make the data set with smaller shards, as with `--set shard_size=1024`",
        )
        images = {name: np.asarray(values[()], np.float32) for name, values in columns.items()}
        for name, values in images.items():
            bad = np.count_nonzero(~np.isfinite(values).all(axis=(1, 2, 3)))
            if bad:
                raise self._refusal(f"has {bad} images in '{name}' with NaN or infinite pixels")
        return images

    def _refusal(self, words: str) -> DamagedFileError:
        return DamagedFileError(f"{self.path} {words}; {AGAIN}")

    def _check_kinds(self) -> None:
        kinds = {name: (values, _KINDS[name]) for name, values in self.columns.items()}
        kinds |= {f"params/{name}": (values, _OF_PARAMS) for name, values in self.params.items()}
        for name, (values, kind) in kinds.items():
            if values.dtype.newbyteorder("=") != np.dtype(kind):
                raise self._refusal(
                    f"has values of another kind in '{_shown(name)}': {values.dtype.name}, not "
                    f"{np.dtype(kind).name}"
                )

    def _check_shapes(self, n: int) -> None:
        image, label = self.columns["image"], self.columns["label"]
        arrays = (*self.columns.values(), *self.params.values())
        images = [values for name, values in self.columns.items() if name != "label"]
        wrong = any((values.shape or (None,))[0] != n for values in arrays)
        wrong = wrong or any(v.ndim != 4 or v.shape[1] != 1 or 0 in v.shape[2:] for v in images)
        wrong = wrong or any(v.ndim != 1 for v in (label, *self.params.values()))
        if wrong:
            raise self._refusal(f"has arrays of the wrong shape, image {image.shape}")

    def _check_attributes(self) -> None:
        attrs = self.attrs
        for name in ("label_names", "pixel_scale", *_TEXTS, "model"):
            if name not in attrs:
                raise self._refusal(f"has no attribute '{name}'")
        names = attrs["label_names"]
        if not (isinstance(names, list) and names and all(isinstance(n, str) for n in names)):
            raise self._refusal("has an attribute 'label_names' that is no list of names")
        for name in _TEXTS:
            if not isinstance(attrs[name], str):
                raise self._refusal(f"has an attribute '{name}' that is no text")
        if isinstance(attrs["model"], bool) or not isinstance(attrs["model"], int | str):
            raise self._refusal("has an attribute 'model' that is no number")
        for name in _NUMBERS:
            value = attrs.get(name, 1.0)
            if not is_number(value) or value < 0 or (name in _POSITIVE and not value):
                raise self._refusal(f"has an attribute '{name}' that is no such number")
        for name, value in attrs.items():
            if not _is_plain(value):
                raise self._refusal(f"has an attribute '{_shown(name)}' of an unknown kind")


def _shown(name: str) -> str:
    return shorten(plain_text(name), 80)


def _plain(value: Any) -> Any:
    """Values of numpy as those of Python."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _is_plain(value: Any) -> bool:
    """True for text and finite numbers, and for lists of them."""
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int)
