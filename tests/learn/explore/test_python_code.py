"""The position of the sliders as a program."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

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


def test_a_kernel_is_part_of_the_program(settings_of: Callable[..., ExploreSettings]) -> None:
    image, noise = np.ones((24, 24)), np.full((24, 24), 0.1)
    kernel = np.outer([1.0, 3.0, 1.0], [1.0, 2.0, 4.0, 2.0, 0.5])
    psf = lp.PixelPSF(kernel / kernel.sum(), 0.2)
    explorer = Explorer(Observation("a", (24, 24), 0.2, image, noise, psf), settings_of())
    found: dict[str, torch.Tensor] = {}
    exec(write_python(explorer, explorer.start, Switches()), found)
    expected = explorer.view(explorer.start, Switches()).model
    np.testing.assert_allclose(found["image"].numpy(), expected, atol=1e-3 * expected.max())
