"""Sersic profiles with a linear amplitude."""

import torch

import lensphys as lp
from lensphys.fitting.linear.sersics import SersicComponent, list_prefixes, name_in_first
from tests.lensphys.fitting.linear.scenes import params_of, pixels_of


def test_the_map_of_a_source_is_the_profile_of_unit_amplitude():
    pixels, source = pixels_of(), SersicComponent("source_")
    params = params_of(source.ranges)
    basis = source.evaluate(params, pixels.x, pixels.y).basis
    right = lp.Sersic(amplitude=1.0, **{name[7:]: value for name, value in params.items()})
    torch.testing.assert_close(basis[:, 0], right.surface_brightness(pixels.x, pixels.y))


def test_the_steep_core_of_a_lens_is_integrated_over_its_pixels():
    pixels = pixels_of()
    light = SersicComponent("lens_light_", pixels)
    params = params_of(light.ranges) | {"lens_light_n_sersic": torch.tensor([4.0, 4.0]).double()}
    basis = light.evaluate(params, pixels.x, pixels.y).basis[:, 0]
    (profile,) = light.profiles(params, torch.ones(2, 1).double())
    torch.testing.assert_close(basis, profile.mean_brightness(pixels.x, pixels.y, 0.1))
    rays = profile.surface_brightness(pixels.x, pixels.y)
    assert (basis - rays).abs().max() > 0.1 * basis.max()


def test_the_profile_has_the_amplitude_that_was_found():
    source = SersicComponent("source_")
    params = params_of(source.ranges)
    (profile,) = source.profiles(params, torch.tensor([[3.0], [4.0]]).double())
    assert profile.amplitude.tolist() == [3.0, 4.0]
    assert (profile.n_sersic == params["source_n_sersic"]).all()


def test_names_of_further_profiles_have_a_number():
    assert list_prefixes("source", 3) == ["source_", "source_2_", "source_3_"]
    assert name_in_first("lens_light_2_e1") == "lens_light_e1"
    for name in ("source_e1", "lens_light_outer_e1", "a3_cos", "theta_E"):
        assert name_in_first(name) == name
