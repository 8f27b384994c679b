"""The position of the sliders as a program."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits

import lensphys as lp
from learn.explore.observation import Observation, observe
from learn.explore.python_code import write_python
from learn.explore.settings import ExploreSettings
from learn.explore.view import Explorer, Switches


@pytest.mark.parametrize("switches", [Switches(), Switches(lens_light=True, subhalo=True)])
@pytest.mark.parametrize("fwhm", [0.0, 0.3])
def test_the_program_renders_the_model(
    settings_of: Callable[..., ExploreSettings], switches: Switches, fwhm: float
) -> None:
    settings = settings_of(pixel_scale=0.2)
    explorer = Explorer(observe(None, settings), settings)
    values = explorer.start | {"fwhm": fwhm}
    found: dict[str, torch.Tensor] = {}
    exec(write_python(explorer, values, switches), found)
    expected = explorer.view(values, switches).model
    np.testing.assert_allclose(found["image"].numpy(), expected, atol=1e-3 * expected.max())


def test_a_psf_of_a_file_is_read_from_there(
    settings_of: Callable[..., ExploreSettings], tmp_path: Path
) -> None:
    kernel = np.ones((3, 5)) / 15
    fits.writeto(tmp_path / "psf.fits", kernel)
    image, noise = np.ones((24, 24)), np.full((24, 24), 0.1)
    psf = lp.PixelPSF(kernel, 0.2)
    observation = Observation("a", (24, 24), 0.2, image, noise, psf, tmp_path / "psf.fits")
    explorer = Explorer(observation, settings_of())
    found: dict[str, torch.Tensor] = {}
    exec(write_python(explorer, explorer.start, Switches()), found)
    expected = explorer.view(explorer.start, Switches()).model
    np.testing.assert_allclose(found["image"].numpy(), expected, atol=1e-3 * expected.max())
