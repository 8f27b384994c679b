"""The scene that is fitted: its image and the derivatives of it."""

import pytest
import torch

from lensphys import GaussianPSF, pixel_grid
from lensphys.fitting.scene import LensScene
from lensphys.rendering import Pixels
from tests.lensphys.jacobians import forward, sersic, sie


def scene_parameters(scene, size):
    """Parameters of a scene, each of shape (size,), no two images alike."""
    typical = {
        **sie(0.2, gamma=2.1),
        "gamma1": 0.05,
        "gamma2": -0.04,
        **{f"source_{k}": v for k, v in sersic(R_sersic=0.2, n_sersic=1.2).items()},
        **{f"lens_light_{k}": v for k, v in sersic(n_sersic=3.0, e1=-0.1).items()},
    }
    factors = torch.linspace(0.9, 1.1, size, dtype=torch.float64)
    return {name: typical[name] * factors for name in scene.names}


BLURRED = GaussianPSF(0.2, 0.2), 1

AVERAGED = GaussianPSF(0.2, 0.2), 2

FINER = GaussianPSF(0.2, 0.1), 2


@pytest.mark.parametrize(
    ("mass", "lens_light", "psf", "supersampling"),
    [
        ("SIE", False, None, 1),
        ("SIE", False, *BLURRED),
        ("SIE", True, *FINER),
        ("EPL", True, *AVERAGED),
    ],
    ids=["sharp", "blurred", "of a shining lens, blurred on sub-pixels", "of all there is"],
)
def test_the_jacobian_of_an_image_is_its_forward_derivative(mass, lens_light, psf, supersampling):
    scene = LensScene(mass, lens_light=lens_light)
    x, y = pixel_grid((9, 10), 0.2, dtype=torch.float64)
    pixels = Pixels(x, y, psf=psf, supersampling=supersampling, integrate_cores=False)
    parameters = scene_parameters(scene, 2)
    maps = scene.image_and_jacobian(parameters, pixels)
    assert maps.shape == (2, 1 + len(scene.names), 9, 10)
    torch.testing.assert_close(maps[:, 0], scene.image(parameters, pixels), rtol=1e-12, atol=1e-13)
    for found, name in zip(maps[:, 1:].unbind(1), scene.names, strict=True):
        expected = forward(lambda p: scene.image(p, pixels), parameters, name)
        scale = expected.abs().max()
        assert scale > 0, name
        assert (found - expected).abs().max() < 1e-9 * scale, name
