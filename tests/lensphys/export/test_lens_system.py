"""Models that are read from lenstronomy's parameters."""

import numpy as np
import pytest
import torch
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

import lensphys as lp
from lensphys.export.lens_system import _LIGHTS, _MASSES
from tests.lensphys.export.test_lenstronomy import LIGHTS, SHAPE, lens
from tests.lensphys.fitting.mocks import KIND, deviation, draw, image_of

GRID = lp.pixel_grid(20, 0.15, dtype=torch.float64)
CENTER = {"center_x": 0.05, "center_y": -0.1}
ELLIPSE = {"e1": 0.1, "e2": -0.05, **CENTER}
MASSES = {
    "CONVERGENCE": {"kappa": 0.1, "ra_0": 0.2, "dec_0": 0.0},
    "EPL": {"theta_E": 1.1, "gamma": 1.9, **ELLIPSE},
    "MULTIPOLE": {"m": 4, "a_m": 0.02, "phi_m": 0.3, **CENTER},
    "NFW": {"Rs": 2.0, "alpha_Rs": 0.5, **CENTER},
    "NIE": {"theta_E": 1.1, "s_scale": 0.1, **ELLIPSE},
    "POINT_MASS": {"theta_E": 0.3, **CENTER},
    "SIE": {"theta_E": 1.1, **ELLIPSE},
    "SIS": {"theta_E": 1.1, **CENTER},
    "SHEAR": {"gamma1": 0.05, "gamma2": -0.02},
    "SHEAR_GAMMA_PSI": {"gamma_ext": 0.05, "psi_ext": 0.7},
    "TNFW": {"Rs": 2.0, "alpha_Rs": 0.5, "r_trunc": 3.0, **CENTER},
}
LIGHT = {
    "SERSIC": {"amp": 20.0, "R_sersic": 0.3, "n_sersic": 1.5, **CENTER},
    "SERSIC_ELLIPSE": {"amp": 20.0, "R_sersic": 0.3, "n_sersic": 1.5, **ELLIPSE},
    "GAUSSIAN": {"amp": 3.0, "sigma": 0.3, **CENTER},
    "GAUSSIAN_ELLIPSE": {"amp": 3.0, "sigma": 0.3, **ELLIPSE},
    "MULTI_GAUSSIAN": {"amp": np.array([1.0, 2.0]), "sigma": np.array([0.2, 0.4]), **CENTER},
    "MULTI_GAUSSIAN_ELLIPSE": {
        "amp": np.array([1.0, 2.0]),
        "sigma": np.array([0.2, 0.4]),
        **ELLIPSE,
    },
    "SHAPELETS": {"amp": np.linspace(-1, 2, 10), "n_max": 3, "beta": 0.3, **CENTER},
}


@pytest.mark.parametrize("name", MASSES)
def test_masses_deflect_as_those_of_lenstronomy(name):
    values = MASSES[name]
    x, y = (v.numpy() for v in GRID)
    expected = LensModel([name]).ray_shooting(x, y, [values])
    found = lp.from_lenstronomy([name], [values]).lens.ray_trace(*GRID)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)


@pytest.mark.parametrize("name", LIGHT)
def test_lights_shine_as_those_of_lenstronomy(name):
    values = LIGHT[name]
    x, y = (v.numpy().ravel() for v in GRID)
    expected = LightModel([name]).surface_brightness(x, y, [values]).reshape(20, 20)
    model = lp.from_lenstronomy(["SIS"], [MASSES["SIS"]], [name], [values])
    found = model.source.surface_brightness(*GRID).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6 * abs(expected).max())
    assert model.lens_light is None


def test_every_profile_is_compared():
    assert set(MASSES) == {*_MASSES, "SHEAR_GAMMA_PSI"}
    assert set(LIGHT) == set(_LIGHTS) - {"INTERPOL"}


def test_an_image_in_the_source_plane_leads_back():
    image = torch.rand(5, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    source = lp.PixelatedSource(image=image, pixel_scale=0.1, phi_G=0.3, interpolation="linear")
    model = lp.to_lenstronomy(lens()[0], source)
    again = lp.from_lenstronomy(**model)
    assert torch.equal(again.source.surface_brightness(*GRID), source.surface_brightness(*GRID))
    assert again.to_lenstronomy().keys() == model.keys()


def test_a_batch_of_parameters_makes_a_batch_of_lenses():
    two = np.array([1.0, 1.2])
    sie = MASSES["SIE"] | {"theta_E": two}
    model = lp.from_lenstronomy(["SIE"], [sie], ["GAUSSIAN"], [LIGHT["GAUSSIAN"]])
    assert lp.render(model.lens, model.source, *GRID).shape == (2, 20, 20)
    assert model.start()["theta_E"].tolist() == two.tolist()
    assert model.to_lenstronomy(1)["kwargs_lens"][0]["theta_E"] == 1.2


def test_a_model_comes_back_as_it_was():
    deflectors, params = lens()
    without = lp.ThinLens(deflectors.deflectors[:-1])
    model = lp.from_lenstronomy(
        **lp.to_lenstronomy(without, LIGHTS["Sersic"], LIGHTS["Gaussians"], 1)
    )
    for ours, theirs in zip(model.lens.ray_trace(*GRID), without.ray_trace(*GRID), strict=True):
        assert torch.allclose(ours, theirs[1], atol=1e-12)
    start = model.start()
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


@pytest.mark.parametrize("name", ["EPL_NUMBA", "PEMD"])
def test_other_names_of_a_power_law_are_the_same_profile(name):
    values = {"theta_E": 1.1, "gamma": 2.1, "e1": 0.1, "e2": -0.05}
    (deflector,) = lp.from_lenstronomy([name], [values]).lens.deflectors
    assert repr(deflector) == repr(lp.EPL(**values))


def test_a_fit_starts_from_several_sersic_profiles():
    parts = [LIGHTS["Sersic"], lp.Sersic(amplitude=9.0, R_sersic=0.1, n_sersic=1.0, center_x=0.2)]
    plain = lp.ThinLens(lens()[0].deflectors[:2])
    model = lp.from_lenstronomy(**lp.to_lenstronomy(plain, parts, parts, 1))
    start = model.start()
    assert start["source_R_sersic"] == start["lens_light_R_sersic"] == pytest.approx(0.3)
    assert start["source_2_center_x"] == start["lens_light_2_center_x"] == pytest.approx(0.2)
    assert not any(name.endswith("amplitude") for name in start)
    kind = {"source": ("sersic",) * 2, "lens_light": ("sersic",) * 2, "mass": "EPL"}
    result = lp.fit(torch.ones(20, 20), 1.0, pixel_scale=0.15, start=model, max_steps=0, **kind)
    assert {*result.names} == {*start}
    again = result.to_lenstronomy()["kwargs_source"][1]
    assert again["R_sersic"] == pytest.approx(0.1, rel=1e-5)


def test_the_second_ellipse_of_a_lens_light_is_the_outer_one():
    inner, outer = LIGHT["MULTI_GAUSSIAN_ELLIPSE"], {**LIGHT["MULTI_GAUSSIAN_ELLIPSE"], "e1": 0.2}
    names = ["MULTI_GAUSSIAN_ELLIPSE"] * 2
    model = lp.from_lenstronomy(["SIE"], [MASSES["SIE"]], [], [], names, [inner, outer])
    start = {k: v for k, v in model.start().items() if k.startswith("lens_light")}
    ellipse = {f"lens_light_{key}": value for key, value in ELLIPSE.items()}
    assert start == {**ellipse, "lens_light_outer_e1": 0.2, "lens_light_outer_e2": -0.05}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ((["SIE"], []), "kwargs_lens must hold 1 dictionaries, got 0"),
        ((["HERNQUIST"], [{}]), "no mass profile HERNQUIST here; there are CONVERGENCE, EPL"),
        ((["SIS"], [{"theta_e": 1.0}]), "SIS has no parameter theta_e; it has theta_E, center_x"),
        ((["EPL"], [ELLIPSE]), "EPL lacks theta_E, gamma"),
        ((["SHEAR_GAMMA_PSI"], [{"gamma_ext": 0.1}]), "SHEAR_GAMMA_PSI lacks psi_ext"),
        ((["SIS"], [{"theta_E": -1.0}]), "theta_E must be finite and in"),
        ((["SIS"], [MASSES["SIS"]], ["UNIFORM"], [{}]), "no light profile UNIFORM here"),
    ],
)
def test_bad_lists_are_refused(lists, message):
    with pytest.raises(ValueError, match=message):
        lp.from_lenstronomy(*lists)


@pytest.mark.parametrize(
    ("names", "lights", "message"),
    [
        (["SIE", "SHEAR", "SHEAR"], [], "a fit has one gamma1, and the model has several"),
        (["SIE", "SIS"], [], "a fit has one main mass, SIE or EPL, .* got SIE, SIS"),
        (["SIE"], ["GAUSSIAN", "SERSIC"], "the source of a fit is one of .* got Gaussian, Sersic"),
    ],
)
def test_models_that_a_fit_has_not_start_none(names, lights, message):
    kwargs = [[MASSES[name] for name in names], lights, [LIGHT[name] for name in lights]]
    model = lp.from_lenstronomy(names, *kwargs)
    with pytest.raises(ValueError, match=message):
        model.start()


def test_a_scaled_lens_starts_no_fit():
    model = lp.LensSystem(lp.ThinLens([lp.SIE(theta_E=1.0)], alpha_scale=0.5))
    with pytest.raises(ValueError, match="no alpha_scale"):
        model.start()
