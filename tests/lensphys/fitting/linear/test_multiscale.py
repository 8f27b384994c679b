"""Shapelets of several scales as a source."""

import torch

import lensphys as lp
from lensphys.fitting.linear.multiscale import MultiscaleSource
from lensphys.fitting.linear.separable import ShapeletSource
from tests.lensphys.fitting.linear.lenses import PSF, SCALE
from tests.lensphys.fitting.linear.scenes import amplitudes_of, params_of, pixels_of


def test_each_part_has_its_scale():
    pixels, source = pixels_of(), MultiscaleSource([(4, 1.0), (2, 2.5)])
    params = params_of(source.ranges)
    basis = source.evaluate(params, pixels.x, pixels.y).basis
    broad = {**params, "source_beta": 2.5 * params["source_beta"]}
    for own, n_max, part in ((params, 4, basis[:, :15]), (broad, 2, basis[:, 15:])):
        right = ShapeletSource(n_max).evaluate(own, pixels.x, pixels.y).basis
        torch.testing.assert_close(part, right, rtol=0, atol=1e-14)


def test_the_profiles_are_the_light_of_all_parts():
    pixels, source = pixels_of(), MultiscaleSource([(4, 1.0), (2, 2.5), (1, 0.4)])
    params, amplitudes = params_of(source.ranges), amplitudes_of(source)
    basis = source.evaluate(params, pixels.x, pixels.y).basis
    right = (amplitudes[:, :, None, None] * basis).sum(1)
    profiles = source.profiles(params, amplitudes)
    assert len(profiles) == 3
    found = sum(light.surface_brightness(pixels.x, pixels.y) for light in profiles)
    torch.testing.assert_close(found, right)


def test_fine_structure_costs_more_than_broad():
    roughness = MultiscaleSource([(2, 1.0), (1, 2.5)]).roughness()
    assert roughness.diagonal().tolist() == [1, 8, 8, 27, 27, 27, 1, 8, 8]
    assert torch.equal(roughness, roughness.diagonal().diag())


def test_a_core_with_outskirts_is_explained():
    # Its arms are three times as long as those of one scale that sees the core.
    x, y = lp.pixel_grid(32, SCALE, dtype=torch.float64)
    lens = lp.ThinLens([lp.SIE(theta_E=1.0, e1=0.1, e2=-0.05), lp.Shear(gamma1=0.03, gamma2=0.02)])
    place = {"center_x": 0.1, "center_y": -0.06, "n_sersic": 1.0}
    core = lp.Sersic(amplitude=60.0, R_sersic=0.08, e1=0.2, **place)
    arms = lp.Sersic(amplitude=6.0, R_sersic=0.5, e1=-0.1, e2=0.3, **place)
    image = lp.render(lens, [core, arms], x, y, psf=PSF, supersampling=4)
    sigma = 0.02 * image.max()
    generator = torch.Generator().manual_seed(2)
    image = image + sigma * torch.randn(image.shape, generator=generator, dtype=image.dtype)
    kind = {"pixel_scale": SCALE, "psf": PSF, "source": "shapelets"}
    result = lp.fit(image, sigma, **kind)
    assert result.amplitudes["source"].shape[1] > 120  # of two scales
    assert result.chi2_dof.item() < 1.15
    off = (result.params["theta_E"] - 1.0).abs()
    assert (off < 4 * result.errors["theta_E"]).all()
    assert off.item() < 0.002
    start = {name: value.detach() for name, value in result.params.items()}
    one = lp.fit(image, sigma, start=start, source_order=16, **kind)
    assert (result.evidence > one.evidence + 10).all()
