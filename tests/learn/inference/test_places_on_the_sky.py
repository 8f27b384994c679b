"""Light in a super-resolved image lies where the light of the original lies on the sky.

A star of known coordinates goes through all that `predict` does: cropping, padding, resampling, the
network, and the WCS of what it writes. The network is exact interpolation: its last layer is zero.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from safetensors import safe_open
from safetensors.numpy import save_file

from learn.config import PredictConfig
from learn.inference.predict import predict
from lensphys.ground.config import load_config, shipped_config

#: Largest distance that is the same place, in pixels of the original.
SAME = 0.01
#: Pixels of the network, arcsec.
TRAINED = 0.202


@pytest.fixture(scope="module")
def interpolator(superresolver: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A super-resolution run that only interpolates."""
    run = tmp_path_factory.mktemp("interpolator") / "run"
    shutil.copytree(superresolver, run)
    path = run / "model.safetensors"
    with safe_open(path, "numpy") as file:
        about = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("last.weight", "last.bias"):
        weights[name] = np.zeros_like(weights[name])
    save_file(weights, path, about)
    return run


def header(form: str, scale: float, shape: tuple[int, int]) -> fits.Header:
    """A tangent WCS, turned by 25 degrees, with its reference pixel off the centre."""
    turn = np.deg2rad(25)
    matrix = np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.1, "CRVAL2": 62.2}
    cards |= {"CRPIX1": 0.2 * shape[1] + 0.3, "CRPIX2": 0.7 * shape[0] - 0.15}
    names = [(i, j) for i in (1, 2) for j in (1, 2)]
    if form == "CD":
        cards |= {f"CD{i}_{j}": matrix[i - 1, j - 1] * scale / 3600 for i, j in names}
    else:
        cards |= {f"PC{i}_{j}": matrix[i - 1, j - 1] for i, j in names}
        cards |= {"CDELT1": scale / 3600, "CDELT2": scale / 3600}
    return fits.Header(cards)


def star(shape: tuple[int, int], x: float, y: float, width: float) -> Any:
    """A Gaussian of the flux in each pixel, about the middle of pixel (x, y), counted from 0."""
    fine = 7  # of odd number, so that a middle is one
    grid = np.zeros([n * fine for n in shape])
    rows, columns = np.indices(grid.shape) / fine - (fine - 1) / 2 / fine
    grid = np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / width**2)
    return grid.reshape(shape[0], fine, shape[1], fine).mean((1, 3))


def middle_of_light(image: Any) -> tuple[float, float]:
    """The centroid (x, y) of the light in an image, in pixels counted from 0."""
    y, x = np.indices(image.shape)
    return float((x * image).sum() / image.sum()), float((y * image).sum() / image.sum())


@pytest.mark.parametrize("form", ["CD", "PC"])
@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((32, 32), TRAINED),  # as it is
        ((45, 38), TRAINED),  # cropped, an odd number of pixels along y
        ((21, 27), TRAINED),  # padded, an odd number along both
        ((51, 20), TRAINED),  # cropped along y, padded along x
        ((32, 33), 0.2035),  # pixels that count as those of the network
        ((27, 40), 0.24),  # to finer pixels: cropped along x, padded by none along y
        ((21, 40), 0.31),  # to much finer pixels, cropped along x and padded along y
        ((29, 34), 0.263),  # to finer pixels, cropped
        ((17, 19), 0.263),  # to finer pixels, padded
    ],
)
def test_a_star_is_where_it_was(
    form: str,
    shape: tuple[int, int],
    scale: float,
    interpolator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    width = 1.6
    x, y = shape[1] / 2 + 1.37, shape[0] / 2 - 2.21
    cards = header(form, scale, shape)
    fits.writeto("star.fits", star(shape, x, y, width).astype(np.float32), cards)
    shipped = shipped_config("predict", "predict", "command")
    config = load_config(PredictConfig, shipped, device="cpu", out=tmp_path / "fine")
    predict(interpolator, [Path("star.fits")], config, warn=lambda line: None)
    (path,) = (tmp_path / "fine").iterdir()
    with fits.open(path) as file:
        image, found = file[0].data.astype(float), WCS(file[0].header)
        assert not {"CD1_1", "PC1_1"} <= {*file[0].header}, "one form alone"
    true: SkyCoord = WCS(cards).pixel_to_world(x, y)
    there: SkyCoord = found.pixel_to_world(*middle_of_light(image))
    assert there.separation(true).arcsec < SAME * scale
