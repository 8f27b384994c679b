"""Models that lenstronomy renders like we do."""

import numpy as np
import pytest
import torch
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

import lensphys as lp
from lensphys.export.lenstronomy import to_lenstronomy
from lensphys.fitting.deflectors import Deflectors

GRID = lp.pixel_grid(20, 0.15, dtype=torch.float64)


def lens():
    """An EPL with multipoles and a neighbour, two images."""
    two = torch.tensor([1.0, 1.1]).double()
    params = {
        **{"theta_E": two, "gamma": 1.9 * two, "e1": 0.1 * two, "e2": -0.05 * two},
        **{"center_x": 0.03 * two, "center_y": 0.01 * two, "gamma1": 0.04 * two},
        **{"gamma2": -0.02 * two, "a1_cos": 0.01 * two, "a1_sin": 0.004 * two},
        **{"a3_cos": -0.01 * two, "a3_sin": 0.01 * two, "a4_cos": 0.02 * two, "a4_sin": 0.0 * two},
    }
    neighbour = lp.SIS(theta_E=0.2, center_x=1.2, center_y=0.4)
    scene = Deflectors("EPL", multipoles=(1, 3, 4), neighbours=[neighbour])
    return scene.lens(params), params


def generator(seed):
    return torch.Generator().manual_seed(seed)


SHAPE = {"e1": 0.1, "e2": torch.tensor([0.05, -0.1]).double(), "center_x": 0.05, "center_y": -0.1}
LIGHTS = {
    "Sersic": lp.Sersic(amplitude=torch.tensor([30.0, 40]), R_sersic=0.3, n_sersic=2.0, **SHAPE),
    "shapelets": lp.Shapelets(
        amp=torch.randn(2, 21, generator=generator(1), dtype=torch.float64),
        n_max=5,
        beta=torch.tensor([0.1, 0.15]).double(),
        center_x=0.1,
    ),
    "Gaussians": lp.MultiGaussian(
        amp=torch.rand(2, 4, generator=generator(2), dtype=torch.float64),
        sigma=torch.tensor([0.1, 0.2, 0.4, 0.8]).double(),
        **SHAPE,
    ),
    "one Gaussian": lp.Gaussian(amp=3.0, sigma=0.2, **SHAPE),
}


def evaluate(model, kind):
    """Surface brightness by lenstronomy, of the source behind the lens or of the lens light."""
    x, y = (v.numpy().ravel() for v in GRID)
    if kind == "source":
        x, y = LensModel(model["lens_model_list"]).ray_shooting(x, y, model["kwargs_lens"])
    name = "source" if kind == "source" else "lens_light"
    names = "source_light_model_list" if kind == "source" else "lens_light_model_list"
    light = LightModel(model[names])
    return light.surface_brightness(x, y, model[f"kwargs_{name}"]).reshape(20, 20)


@pytest.mark.parametrize("light", LIGHTS.values(), ids=LIGHTS)
@pytest.mark.parametrize("index", [0, 1])
def test_lenstronomy_renders_the_same_image(light, index):
    deflectors, _ = lens()
    model = to_lenstronomy(deflectors, light, [light, light], index)
    beta = deflectors.ray_trace(*GRID)
    ours = light.surface_brightness(*beta)
    ours = ours[index].numpy()
    np.testing.assert_allclose(evaluate(model, "source"), ours, rtol=0, atol=1e-6 * abs(ours).max())
    direct = light.surface_brightness(*GRID)[index].numpy()
    theirs = evaluate(model, "lens light")
    np.testing.assert_allclose(theirs, 2 * direct, rtol=0, atol=1e-6 * abs(direct).max())


def test_a_pixelated_source_goes_out_if_it_is_linear():
    image = torch.rand(5, 6, generator=generator(3), dtype=torch.float64)
    source = lp.PixelatedSource(image=image, pixel_scale=0.1, phi_G=0.3, interpolation="linear")
    model = to_lenstronomy(lens()[0], source, None)
    assert model["source_light_model_list"] == ["INTERPOL"]
    assert model["lens_light_model_list"] == model["kwargs_lens_light"] == []
    ours = source.surface_brightness(*lens()[0].ray_trace(*GRID))[0].numpy()
    inside = ours > 0.2
    difference = (evaluate(model, "source") - ours)[inside]
    # lenstronomy has no light outside of the outermost pixel centres, we fade to zero.
    assert np.mean(abs(difference) < 1e-6) > 0.7
    cubic = lp.PixelatedSource(image=image, pixel_scale=0.1)
    with pytest.raises(ValueError, match="interpolation='linear'"):
        to_lenstronomy(lens()[0], cubic, None)


def test_profiles_that_lenstronomy_lacks_are_named():
    ring = lp.Ring(amp=1.0, R_ring=0.2, sigma=0.05)
    with pytest.raises(ValueError, match="no light profile like Ring"):
        to_lenstronomy(lens()[0], ring, None)
    line = lp.ThinLens([lp.UniformLine(theta_E=0.1, half_length=1.0)])
    with pytest.raises(ValueError, match="no mass profile like UniformLine"):
        to_lenstronomy(line, LIGHTS["Sersic"], None)


def test_several_sersic_profiles_go_out():
    x, y = GRID
    parts = [LIGHTS["Sersic"], lp.Sersic(amplitude=9.0, R_sersic=0.1, n_sersic=1.0, center_x=0.2)]
    model = to_lenstronomy(lens()[0], parts, parts, 1)
    assert model["source_light_model_list"] == ["SERSIC_ELLIPSE"] * 2
    right = parts[0].surface_brightness(x, y)[1] + parts[1].surface_brightness(x, y)
    np.testing.assert_allclose(evaluate(model, "lens light"), right.numpy(), rtol=1e-6)


def test_a_lens_goes_out_alone():
    model = lp.to_lenstronomy(lens()[0])
    assert model["lens_model_list"][:2] == ["EPL", "SHEAR"]
    assert model["kwargs_source"] == model["lens_light_model_list"] == []
