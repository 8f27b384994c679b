"""Models that lenstronomy renders like we do, and starts of fits from them."""

import numpy as np
import pytest
import torch
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

import lensphys as lp
from lensphys.export.lenstronomy import from_lenstronomy, to_lenstronomy
from lensphys.fitting.deflectors import Deflectors
from tests.lensphys.fitting.mocks import KIND, deviation, draw, image_of

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


def test_the_way_in_leads_back():
    deflectors, params = lens()
    without = lp.ThinLens(deflectors.deflectors[:-1])
    model = to_lenstronomy(without, LIGHTS["Sersic"], LIGHTS["Gaussians"], 1)
    start = from_lenstronomy(**model)
    for name, value in params.items():
        assert start[name] == pytest.approx(float(value[1]), abs=1e-12), name
    assert start["source_amplitude"] == 40
    assert start["source_e2"] == pytest.approx(-0.1)
    assert {k for k in start if k.startswith("lens_light")} == {
        f"lens_light_{name}" for name in SHAPE
    }


def test_a_fit_starts_from_the_model_of_another():
    truth = draw(2, seed=4)
    images = image_of(truth)
    first = lp.fit(images, 0.01, **KIND, start=truth, max_steps=1)
    start = lp.from_lenstronomy(**first.to_lenstronomy(1))
    again = lp.fit(images[1:], 0.01, **KIND, start=start, max_steps=1)
    assert deviation(again, {k: v[1:] for k, v in truth.items()}).max() < 1e-6


def test_several_sersic_profiles_go_out_and_lead_back():
    x, y = GRID
    parts = [LIGHTS["Sersic"], lp.Sersic(amplitude=9.0, R_sersic=0.1, n_sersic=1.0, center_x=0.2)]
    deflectors, _ = lens()
    plain = lp.ThinLens(deflectors.deflectors[:2])
    model = to_lenstronomy(plain, parts, parts, 1)
    assert model["source_light_model_list"] == ["SERSIC_ELLIPSE"] * 2
    right = parts[0].surface_brightness(x, y)[1] + parts[1].surface_brightness(x, y)
    np.testing.assert_allclose(evaluate(model, "lens light"), right.numpy(), rtol=1e-6)
    start = from_lenstronomy(**model)
    assert start["source_R_sersic"] == start["lens_light_R_sersic"] == pytest.approx(0.3)
    assert start["source_2_center_x"] == start["lens_light_2_center_x"] == pytest.approx(0.2)
    assert not any(name.endswith("amplitude") for name in start)
    kind = {"source": ("sersic",) * 2, "lens_light": ("sersic",) * 2, "mass": "EPL"}
    result = lp.fit(torch.ones(20, 20), 1.0, pixel_scale=0.15, start=start, max_steps=0, **kind)
    assert {*result.names} == {*start}
    again = result.to_lenstronomy()["kwargs_source"][1]
    assert again["R_sersic"] == pytest.approx(0.1, rel=1e-5)


def test_bad_lists_are_refused():
    sie = {"theta_E": 1.0, "e1": 0.0, "e2": 0.0, "center_x": 0.0, "center_y": 0.0}
    with pytest.raises(ValueError, match="one main mass"):
        from_lenstronomy(["SIE", "SIE"], [sie, sie])
    with pytest.raises(ValueError, match="must hold 1"):
        from_lenstronomy(["SIE"], [])
    with pytest.raises(ValueError, match="source of a fit is one of"):
        from_lenstronomy(["SIE"], [sie], ["HERNQUIST"], [{}])
