"""Loop over the pixels of a whole scene and its derivatives."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.scene import LensScene
from lensphys.kernels import scene as maps
from lensphys.rendering import Pixels
from tests.lensphys.kernels.loops import DTYPES, SERSIC, SIE, B, uniform


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lens_light", [False, True])
def test_the_jacobian_of_a_scene_is_that_of_torch(lens_light, dtype, by_torch):
    scene = LensScene(lens_light=lens_light)
    mass, light = SIE, SERSIC
    params = mass | {"gamma1": uniform(-0.1, 0.1, B), "gamma2": uniform(-0.1, 0.1, B, seed=1)}
    for prefix in ("source_", "lens_light_"):
        params |= {prefix + name: value for name, value in light.items()}
        params[prefix + "n_sersic"] = params[prefix + "n_sersic"].clamp(0.5, 2)
    params = {name: params[name].to(dtype) for name in scene.names}
    psf = lp.GaussianPSF(fwhm=0.1, pixel_scale=0.08)
    pixels = Pixels(*lp.pixel_grid((20, 31), 0.08, dtype=dtype), psf=psf)
    found = scene.image_and_jacobian(params, pixels)
    expected = by_torch(lambda: scene.image_and_jacobian(params, pixels))
    assert found.shape == (B, 1 + len(scene.names), 20, 31)
    scale = expected.abs().amax((0, 2, 3), keepdim=True)
    assert ((found - expected) / scale).abs().max() < (1e-11 if dtype == torch.float64 else 1e-3)


def test_the_maps_are_the_image_and_the_derivatives_in_the_order_of_the_scene():
    rows = {
        "image": maps.IMAGE,
        "theta_E": maps.BY_THETA_E,
        "e1": maps.BY_E1,
        "e2": maps.BY_E2,
        "center_x": maps.BY_CENTER_X,
        "center_y": maps.BY_CENTER_Y,
        "gamma1": maps.BY_GAMMA1,
        "gamma2": maps.BY_GAMMA2,
        "source_amplitude": maps.BY_AMPLITUDE,
        "source_R_sersic": maps.BY_R_SERSIC,
        "source_n_sersic": maps.BY_N_SERSIC,
        "source_e1": maps.BY_SOURCE_E1,
        "source_e2": maps.BY_SOURCE_E2,
        "source_center_x": maps.BY_SOURCE_X,
        "source_center_y": maps.BY_SOURCE_Y,
    }
    assert list(rows) == ["image", *LensScene("SIE").names]
    assert list(rows.values()) == list(range(maps.MAPS))
