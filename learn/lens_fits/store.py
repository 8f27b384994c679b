"""Lens fits of a data set, in files beside its shards: each image is fitted once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from learn.config import LensFitConfig
from learn.lens_fits.collect import DrawRequest
from learn.lens_fits.draws import DrawSettings
from learn.lens_fits.fit_model import FitModel
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.solve import fit_images, recipe
from lensphys.ground.errors import InputError
from lensphys.ground.files import cannot_write, path_inside, replacing
from lensphys.ground.locks import hold_in_turn
from lensphys.ground.progress import Bar, start_bar
from simulate.dataset.photometry import Photometry
from simulate.hdf5 import DamagedFileError, array, check_declared, error_number, read_hdf5
from simulate.shards import DataSet

Array = NDArray[Any]

#: Folder of the files beside the shards, and its name in earlier versions.
_FOLDER, _EARLIER = "lens-fits", "lens-prior"
#: Advice on a damaged file.
_AGAIN = "delete it to have its lenses fitted again"
#: Images in a file, and images fitted at once.
_PART, _BLOCK = 256, 128
#: Arrays of a file, beside the maps.
_ARRAYS = ("params", "covariance", "chi2_dof", "converged", "statistics")


class StoredMaps:
    """Maps of N images in the files that hold them, read where they are indexed.

    Those of a large data set are several times as large as its images. What was read stays with
    the system's cache of files, which gives way to other needs.

    Args:
        parts: arrays (n, C, H, W) mapped from files.
        part: (N,) which of them has an image.
        row: (N,) where in it.
    """

    def __init__(
        self, parts: list[NDArray[np.float16]], part: NDArray[np.int64], row: NDArray[np.int64]
    ) -> None:
        self._parts, self._part, self._row = parts, part, row

    def __len__(self) -> int:
        return len(self._part)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, C, H, W)``, of all of them."""
        return (len(self), *self._parts[0].shape[1:])

    def __getitem__(self, rows: slice | Tensor | NDArray[Any]) -> Tensor:
        """Read some rows (n, C, H, W), single precision: a slice, indices or a mask."""
        wanted = rows.cpu().numpy() if isinstance(rows, Tensor) else rows
        part, row = self._part[wanted], self._row[wanted]
        found = np.empty((len(part), *self.shape[1:]), np.float16)
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            found[here] = self._parts[number][row[here]]
        return torch.from_numpy(found).float()


def fit_data_set(
    data: DataSet,
    config: LensFitConfig,
    column: str = "image",
    device: str = "cpu",
    draws: DrawSettings | None = None,
) -> LensFits:
    """Lens fits of a data set: read from files, and made where there are none yet.

    Files are found by what they are of: an image that has changed is fitted again, and one that is
    in another selection of the same data set is not.

    Args:
        data: the images, and the folder beside whose shards the files lie.
        config: of the fit.
        column: ``image`` or ``image_lr``.
        device: to fit on.
        draws: groups of masses that are drawn beside the fits; None for none.

    Raises:
        InputError: for a data set that does not state its pixel scale, PSF or noise, or if
            nothing can be written beside it.
    """
    images = data.image if column == "image" else data.image_lr
    assert images is not None
    photometry = Photometry.of(data, column)
    model = FitModel.of(data.config, config)
    digest = hashlib.sha256(recipe(photometry, config, model, draws).encode()).hexdigest()[:8]
    folder, earlier = (data.path / f"{name}-{digest}" for name in (_FOLDER, _EARLIER))
    keys = _keys(images, photometry)
    try:
        if not folder.exists():
            with suppress(FileNotFoundError):  # there is none, or another process was faster
                earlier.rename(folder)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write the lenses of {data.path} beside its shards: {error.strerror}; copy it "
            "to where you can write"
        ) from None
    if len(_find_missing(folder, keys)):
        # Processes that train together all come here: the first one fits, the others wait for it.
        with hold_in_turn(folder):
            missing = _find_missing(folder, keys)
            with closing(start_bar(len(missing), 0, "img", "fit lenses")) as bar:
                for start in range(0, len(missing), _PART):
                    rows = missing[start : start + _PART]
                    known, own = photometry.select(rows), [keys[i] for i in rows]
                    seeds = [int.from_bytes(key[:4], "big") for key in own]
                    request = None if draws is None else DrawRequest(draws, seeds)
                    fits = _fit_blocks(images[rows], known, config, model, request, device, bar)
                    _write(folder, fits, own)
    return _gather(folder, keys, drawn=draws is not None)


def fits_for(
    encoder: BaseModel,
    data: DataSet,
    *,
    column: str = "image",
    device: str = "cpu",
    draws: DrawSettings | None = None,
) -> LensFits | None:
    """Lens fits for an encoder of this configuration; None where it sees images alone.

    Raises:
        InputError: as :func:`fit_data_set`.
    """
    config: LensFitConfig | None = getattr(encoder, "lens_fit", None)
    return None if config is None else fit_data_set(data, config, column, device, draws)


def _keys(images: NDArray[np.float32], photometry: Photometry) -> list[bytes]:
    """A digest of each image, of how its counts are read, and of its padding where it has any."""
    readings = np.stack([photometry.rate, photometry.exposure], 1)
    none = np.zeros((len(images), 4), np.int64)
    padding = none if photometry.padding is None else photometry.padding
    return [
        hashlib.blake2b(
            image.tobytes() + reading.tobytes() + (around.tobytes() if around.any() else b""),
            digest_size=16,
        ).digest()
        for image, reading, around in zip(images, readings, padding, strict=True)
    ]


def _find_missing(folder: Path, keys: list[bytes]) -> NDArray[np.int64]:
    """Indices of the images that are in no file of a folder."""
    known = {key for path in _files(folder) for key in _keys_in(path)}
    return np.array([i for i, key in enumerate(keys) if key not in known], np.int64)


def _files(folder: Path) -> list[Path]:
    return [path_inside(folder, path.name) for path in sorted(folder.glob("part-*.h5"))]


def _keys_in(path: Path) -> list[bytes]:
    with _reading(path) as file:
        return [key.tobytes() for key in array(file, "key")[()]]


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    try:
        with read_hdf5(path, _AGAIN) as file:
            check_declared(path, [array(file, name) for name in file], _AGAIN)
            yield file
    except DamagedFileError:
        raise DamagedFileError(f"{path} is damaged; {_AGAIN}") from None


def _gather(folder: Path, keys: list[bytes], *, drawn: bool) -> LensFits:
    """Lens fits of these images from the files of a folder, in the order of the images."""
    places: dict[bytes, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    arrays: dict[str, Array] = {}
    names: tuple[str, ...] = ()
    kept = (*_ARRAYS, "moments") if drawn else _ARRAYS
    maps = ("channels", "draws") if drawn else ("channels",)
    parts: dict[str, list[NDArray[np.float16]]] = {name: [] for name in maps}
    part, row = np.full(len(keys), -1), np.zeros(len(keys), np.int64)
    for path in _files(folder):
        own = [(i, place) for i, key in enumerate(_keys_in(path)) for place in places.get(key, ())]
        if not own:
            continue
        there, here = (np.array(side) for side in zip(*own, strict=True))
        with _reading(path) as file:
            names = tuple(str(name) for name in file.attrs["names"])
            for name in kept:
                values = file[name][()]
                if name not in arrays:
                    arrays[name] = np.empty((len(keys), *values.shape[1:]), values.dtype)
                arrays[name][here] = values[there]
            part[here], row[here] = len(parts["channels"]), there
            for name, found in parts.items():
                found.append(_map(path, file[name]))
    if (part < 0).any():
        raise InputError(f"files in {folder} are gone; run the same command again to go on")
    fits = LensFits.of_arrays(names, arrays, StoredMaps(parts["channels"], part, row))
    if drawn:
        fits.draws = StoredMaps(parts["draws"], part, row)
        fits.moments = torch.from_numpy(arrays["moments"])
    return fits


def _map(path: Path, stored: h5py.Dataset) -> NDArray[np.float16]:
    """Map a data set of an HDF5 file, which lies there in one piece, to memory."""
    where = stored.id.get_offset()
    if where is None:
        raise InputError(f"{path} was repacked; delete it to have its lenses fitted again")
    return np.memmap(path, stored.dtype, "r", where, stored.shape)


def _write(folder: Path, fits: LensFits, keys: list[bytes]) -> None:
    """Write one file, named after what is in it: two processes may write it at once."""
    assert isinstance(fits.channels, Tensor)
    assert fits.statistics is not None
    part = {
        "params": fits.values.numpy(),
        "covariance": fits.covariance.numpy(),
        "chi2_dof": fits.chi2_dof.numpy(),
        "converged": fits.converged.numpy(),
        "statistics": fits.statistics.numpy(),
        "channels": fits.channels.numpy(),
        "key": np.stack([np.frombuffer(key, np.uint8) for key in keys]),
    }
    if isinstance(fits.draws, Tensor) and fits.moments is not None:
        part |= {"draws": fits.draws.numpy(), "moments": fits.moments.numpy()}
    digest = hashlib.sha256(part["key"].tobytes()).hexdigest()[:16]
    path = folder / f"part-{digest}.h5"
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
            for name, values in part.items():
                file.create_dataset(name, data=values)
            file.attrs["names"] = list(fits.names)
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, error_number(error), str(error)) from None


def _fit_blocks(
    images: NDArray[np.float32],
    photometry: Photometry,
    config: LensFitConfig,
    model: FitModel,
    draws: DrawRequest | None,
    device: str,
    bar: Bar,
) -> LensFits:
    """Call :func:`learn.lens_fits.solve.fit_images` in blocks."""
    parts = []
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        flux = torch.from_numpy(images[rows, 0]).to(device)
        request = draws and draws.take(range(start, start + len(flux)))
        parts.append(fit_images(flux, photometry.select(rows), config, model, request))
        bar.update(len(flux))
    return LensFits.join(parts)
