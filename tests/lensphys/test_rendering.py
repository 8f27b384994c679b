"""Rendering, from a lens and a source to an image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

from lensphys import (
    SIE,
    GaussianPSF,
    PixelatedSource,
    PixelPSF,
    PointMass,
    Population,
    Sersic,
    Shear,
    ThinLens,
    pixel_grid,
    render,
    sersic_total_flux,
)
from lensphys.rendering import Pixels, render_on

SCENE = {
    "theta_E": 0.5,
    "e1": 0.1,
    "e2": -0.07,
    "center_x": 0.03,
    "center_y": -0.02,
    "gamma1": 0.05,
    "gamma2": 0.02,
    "alpha_scale": 0.9,
    "mass": [0.05, 0.1],
    "mass_x": [0.31, -0.4],
    "mass_y": [0.35, 0.2],
    "amplitude": 20.0,
    "R_sersic": 0.25,
    "n_sersic": 1.2,
    "source_e1": -0.1,
    "source_e2": 0.1,
    "source_x": 0.1,
    "source_y": -0.05,
}

PIXEL = 0.1

BLUR = GaussianPSF(fwhm=0.16, pixel_scale=PIXEL)


def scene(p):
    """The lens and the source of a flat dictionary of parameters."""
    values = {
        k: torch.as_tensor(v, dtype=torch.float64) if isinstance(v, list) else v
        for k, v in p.items()
    }
    sie = {k: values[k] for k in ("theta_E", "e1", "e2", "center_x", "center_y")}
    clumps = {
        "theta_E": values["mass"],
        "center_x": values["mass_x"],
        "center_y": values["mass_y"],
    }
    deflectors = [
        SIE(**sie),
        Shear(gamma1=values["gamma1"], gamma2=values["gamma2"]),
        Population(PointMass(**clumps)),
    ]
    source = Sersic(
        **{k: values[k] for k in ("amplitude", "R_sersic", "n_sersic")},
        e1=values["source_e1"],
        e2=values["source_e2"],
        center_x=values["source_x"],
        center_y=values["source_y"],
    )
    return ThinLens(deflectors, alpha_scale=values["alpha_scale"]), source


def image_of(p, x, y, psf=BLUR):
    return render(*scene(p), x, y, psf=psf)


@pytest.fixture(scope="module")
def sky():
    return pixel_grid((11, 14), PIXEL, dtype=torch.float64)


@pytest.fixture(scope="module")
def plain():
    """A round lens in front of a round source."""
    return ThinLens([SIE(theta_E=0.5)]), Sersic(amplitude=1.0, R_sersic=0.25, n_sersic=1.0)


@settings(max_examples=15, deadline=None)
@given(
    theta_E=st.floats(0.5, 1.5),
    e1=st.floats(-0.4, 0.4),
    gamma1=st.floats(-0.1, 0.1),
    source_x=st.floats(-0.35, 0.35),
    n_sersic=st.floats(0.5, 4),
)
def test_an_image_is_lenstronomys(theta_E, e1, gamma1, source_x, n_sersic):
    p = SCENE | {
        "theta_E": theta_E,
        "e1": e1,
        "gamma1": gamma1,
        "source_x": source_x,
        "n_sersic": n_sersic,
        "alpha_scale": 1.0,
    }
    n, half = 24, (24 - 1) / 2 * PIXEL
    frame = ImageData(
        image_data=np.zeros((n, n)),
        transform_pix2angle=PIXEL * np.eye(2),
        ra_at_xy_0=-half,
        dec_at_xy_0=-half,
    )
    theirs = ImageModel(
        frame,
        PSF(psf_type="GAUSSIAN", fwhm=0.16, truncation=5, pixel_size=PIXEL),
        lens_model_class=LensModel(["EPL", "SHEAR", "POINT_MASS", "POINT_MASS"]),
        source_model_class=LightModel(["SERSIC_ELLIPSE"]),
    )
    sie = {k: p[k] for k in ("theta_E", "e1", "e2", "center_x", "center_y")}
    keys = {"theta_E": "mass", "center_x": "mass_x", "center_y": "mass_y"}
    points = [{k: p[name][i] for k, name in keys.items()} for i in range(2)]
    lens = [sie | {"gamma": 2.0}, {"gamma1": gamma1, "gamma2": p["gamma2"]}, *points]
    source = {"amp": p["amplitude"], "R_sersic": p["R_sersic"], "n_sersic": n_sersic}
    source |= {"e1": p["source_e1"], "e2": p["source_e2"]}
    source |= {"center_x": source_x, "center_y": p["source_y"]}
    expected = theirs.image(lens, [source], None, None, None)

    found = image_of(p, *pixel_grid(n, PIXEL, dtype=torch.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("psf", [None, BLUR], ids=["sharp", "blurred"])
def test_gradients_are_right(psf, check_gradients):
    x, y = pixel_grid((3, 4), PIXEL, dtype=torch.float64)
    check_gradients(lambda p: image_of(p, x, y, psf), SCENE)


@pytest.mark.parametrize(("e1", "e2"), [(0.0, 0.0), (6e-4, -7.99e-4), (6e-4, -8.01e-4)])
def test_gradients_are_right_near_q_1(e1, e2, check_gradients):
    x, y = pixel_grid((3, 4), PIXEL, dtype=torch.float64)
    names = ("theta_E", "e1", "e2", "source_e1", "source_e2")
    p = {k: SCENE[k] for k in names} | {"e1": e1, "e2": e2, "source_e1": e1, "source_e2": e2}
    check_gradients(lambda p: image_of(SCENE | p, x, y), p)


def test_every_parameter_of_the_scene_has_a_gradient(sky, gradients):
    found = gradients(lambda p: image_of(p, *sky), SCENE)
    assert all((gradient.abs() > 1e-6).all() for gradient in found.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("modulus", [0.0, 1e-4, 0.2])
def test_values_and_gradients_are_finite_where_a_pixel_sits_on_a_centre(modulus, dtype, gradients):
    x, y = pixel_grid((11, 13), PIXEL, dtype=dtype)
    centres = {k: 0.0 for k in SCENE if k.endswith(("_x", "_y"))}
    flat = {"e1": modulus, "e2": 0.0, "source_e1": 0.0, "source_e2": modulus, "n_sersic": 4.0}
    p = SCENE | centres | flat | {"mass_x": [0.0, 0.1], "mass_y": [0.0, 0.0]}
    found = gradients(lambda p: image_of(p, x, y), p, dtype)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


@pytest.mark.parametrize("psf", [None, BLUR], ids=["sharp", "blurred"])
def test_float32_is_float64_to_five_digits(psf, sky):
    wide = image_of(SCENE, *sky, psf)
    narrow = image_of(SCENE, *(v.float() for v in sky), psf)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=3e-5, atol=0)


@pytest.mark.parametrize("name", [*SCENE, "all"])
def test_a_batch_of_scenes_is_its_members_one_by_one(name, sky):
    factors = torch.tensor([0.8, 1.0, 1.1], dtype=torch.float64)
    tensors = {k: torch.tensor(SCENE[k], dtype=torch.float64) for k in SCENE}
    chosen = SCENE if name == "all" else [name]
    batch = {k: torch.stack([f * tensors[k] for f in factors]) for k in chosen}
    together = image_of(SCENE | batch, *sky)
    assert together.shape == (3, 11, 14)
    for i in range(3):
        alone = image_of(SCENE | {k: v[i] for k, v in batch.items()}, *sky)
        assert alone.shape == (11, 14)
        torch.testing.assert_close(together[i], alone, rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", SCENE)
def test_vmap_over_scenes_is_a_batch_of_them(name, sky):
    value = torch.tensor(SCENE[name], dtype=torch.float64)
    batch = torch.stack([factor * value for factor in (0.8, 1.0, 1.1)])
    found = torch.func.vmap(lambda v: image_of(SCENE | {name: v}, *sky))(batch)
    torch.testing.assert_close(found, image_of(SCENE | {name: batch}, *sky), rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", ["theta_E", "mass", "source_x"])
def test_transforms_of_the_source_leave_the_gradients_of_the_lens_alone(name, sky):
    """A transform refuses custom backward passes, also of what it does not touch."""
    leaf = torch.tensor(SCENE[name], dtype=torch.float64, requires_grad=True)

    def image(amplitude):
        return image_of(SCENE | {name: leaf, "amplitude": amplitude}, *sky)

    amplitude = torch.tensor([20.0, 30.0], dtype=torch.float64)
    expected = image(amplitude)
    found = torch.func.vmap(image)(amplitude)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(v.square().sum(), leaf)[0] for v in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=0)
    _, forward = torch.func.jvp(image, (amplitude,), (torch.ones_like(amplitude),))
    torch.testing.assert_close(forward, expected / amplitude[:, None, None], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SCENE)
def test_forward_derivatives_are_backward_derivatives(name, sky):
    value = torch.tensor(SCENE[name], dtype=torch.float64)
    tangent = torch.ones_like(value)

    def evaluate(v):
        return image_of(SCENE | {name: v}, *sky)

    primal, forward = torch.func.jvp(evaluate, (value,), (tangent,))
    backward = torch.autograd.functional.jacobian(evaluate, value, vectorize=True)
    backward = backward.sum(-1) if value.ndim else backward
    torch.testing.assert_close(primal, evaluate(value), rtol=1e-12, atol=0)
    torch.testing.assert_close(forward, backward, rtol=1e-11, atol=1e-11)


def test_an_empty_lens_shows_the_source_as_it_is(sky):
    source = Sersic(amplitude=3.0, R_sersic=0.25, n_sersic=1.0, center_x=0.1)
    image = render(ThinLens([SIE(theta_E=0.0)]), source, *sky)
    expected = source.surface_brightness(*sky) * PIXEL**2
    torch.testing.assert_close(image, expected, rtol=1e-13, atol=0)


def test_the_flux_of_an_unlensed_source_is_its_total_flux():
    x, y = pixel_grid((180, 200), 0.05, dtype=torch.float64)
    source = Sersic(amplitude=3.0, R_sersic=0.4, n_sersic=0.5, e1=0.2, e2=-0.1, center_x=0.1)
    for psf in (None, GaussianPSF(0.16, 0.05)):
        image = render(ThinLens([SIE(theta_E=0.0)]), source, x, y, psf=psf)
        assert image.sum().item() == pytest.approx(sersic_total_flux(3.0, 0.4, 0.5), rel=1e-10)


def test_finer_pixels_share_the_same_flux(plain):
    fluxes = [
        render(*plain, *pixel_grid(4 * k, 0.8 / k, dtype=torch.float64)).sum().item()
        for k in (16, 32, 64)
    ]
    assert fluxes[1] == pytest.approx(fluxes[2], rel=2e-3)
    assert fluxes[0] == pytest.approx(fluxes[2], rel=1e-2)


def test_a_small_source_gains_flux_by_its_magnification():
    # A source at 0.3 arcsec behind an SIS of 1 arcsec has its outer image at 1.3 arcsec.
    x, y = pixel_grid(400, 5e-4, dtype=torch.float64)
    lens, x = ThinLens([SIE(theta_E=1.0)]), x + 1.3
    source = Sersic(amplitude=1.0, R_sersic=0.005, n_sersic=0.5, center_x=0.3)
    gain = render(lens, source, x, y).sum().item() / sersic_total_flux(1.0, 0.005, 0.5)
    at = torch.tensor([[1.3]], dtype=torch.float64)
    assert gain == pytest.approx(lens.magnification(at, 0 * at).item(), rel=1e-3)


def test_a_round_lens_and_source_make_a_round_ring(plain):
    x, y = pixel_grid(31, PIXEL, dtype=torch.float64)
    image = render(*plain, x, y, psf=BLUR)
    for turned in (image.flip(0), image.flip(1), image.T):
        torch.testing.assert_close(turned, image, rtol=1e-12, atol=0)
    ring = x.flatten()[image[15].argmax()].item()
    assert abs(ring) == pytest.approx(0.5, abs=PIXEL)


def test_a_blurred_image_is_the_image_blurred(sky):
    sharp = image_of(SCENE, *sky, psf=None)
    assert torch.equal(image_of(SCENE, *sky), BLUR.convolve(sharp))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_psf_for_other_pixels_is_refused(dtype, plain):
    x, y = pixel_grid((64, 150), 0.05, dtype=dtype)
    render(*plain, x, y, psf=GaussianPSF(0.16, 0.05))
    with pytest.raises(ValueError, match=r"psf\.pixel_scale is 0\.101 arcsec .* pixels of 0\.05 "):
        render(*plain, x, y, psf=GaussianPSF(0.16, 0.101))
    with pytest.raises(ValueError, match=r"psf\.pixel_scale"):
        render(*plain, x, y, psf=GaussianPSF(0.16, 0.05005))


def turned(x, y):
    cos, sin = math.cos(0.5), math.sin(0.5)
    return x * cos - y * sin, x * sin + y * cos


IRREGULAR = {
    "oblong pixels": lambda x, y: (x, 1.01 * y),
    "x and y exchanged": lambda x, y: (y, x),
    "running backwards": lambda x, y: (x.flip(-1), y.flip(-2)),
    "constant": lambda x, y: (0 * x, 0 * y),
    "not a number": lambda x, y: (x * math.nan, y),
    "turned": turned,
    "denser in the middle": lambda x, y: (x**3, y**3),
    "one pixel astray": lambda x, y: (x.where(x.abs() + y.abs() > 1e-9, x + 0.05), y),
}


@pytest.mark.parametrize("distort", IRREGULAR.values(), ids=IRREGULAR)
def test_a_grid_without_square_pixels_is_refused(distort, plain):
    x, y = pixel_grid(9, PIXEL, dtype=torch.float64)
    with pytest.raises(ValueError, match="square pixels"):
        render(*plain, *distort(x, y))


def test_a_single_row_of_pixels_is_refused(plain):
    with pytest.raises(ValueError, match="at least 2 pixels a side"):
        render(*plain, *pixel_grid((1, 9), PIXEL))


@pytest.mark.parametrize("name", ["source", "lens_light"])
@pytest.mark.parametrize(
    "light",
    [
        Sersic(amplitude=torch.ones(3), R_sersic=0.2, n_sersic=1.0),
        PixelatedSource(image=torch.ones(3, 4, 4), pixel_scale=0.1),
    ],
    ids=["Sersic", "pixels"],
)
def test_light_of_another_batch_than_the_lens_is_refused(name, light, sky):
    lens = ThinLens([SIE(theta_E=torch.ones(2))])
    given = {"source": Sersic(amplitude=1.0, R_sersic=0.2, n_sersic=1.0)} | {name: light}
    with pytest.raises(ValueError, match=r"^batches must have one shape, got .*\(3,\), .*\(2,\)$"):
        render(lens, x=sky[0], y=sky[1], **given)


def test_what_is_no_lens_and_what_is_no_light_is_refused(plain, sky):
    lens, source = plain
    with pytest.raises(ValueError, match=r"^lens must be a ThinLens or another that traces rays"):
        render(SIE(theta_E=1.0), source, *sky)
    with pytest.raises(ValueError, match=r"^source must be a light profile, got SIE"):
        render(lens, SIE(theta_E=1.0), *sky)
    with pytest.raises(ValueError, match=r"^x must be a tensor of floating-point numbers, got st"):
        render(lens, source, "a", "b")
    for places in (0.1, [0.1, 0.2]):
        with pytest.raises(
            ValueError, match=r"^an image needs a grid \(ny, nx\) of positions, got"
        ):
            render(lens, source, places, places)


@pytest.mark.parametrize("rays", [1, 3])
def test_every_image_of_a_batch_may_have_a_psf_and_a_grid_of_its_own(rays):
    generator = torch.Generator().manual_seed(2)
    kernels = torch.rand(3, 5, 5, generator=generator, dtype=torch.float64)
    kernels = kernels / kernels.sum((-2, -1), keepdim=True)
    x, y = pixel_grid(16, PIXEL, dtype=torch.float64)
    shift = torch.tensor([0.0, 0.03, -0.04], dtype=torch.float64)[:, None, None]
    sources = [0.05, 0.1, 0.15]

    def lens_and_source(center_x):
        lens = ThinLens([SIE(theta_E=0.5, e1=0.1, e2=0.0)])
        return lens, Sersic(amplitude=9.0, R_sersic=0.2, n_sersic=1.0, center_x=center_x)

    settings = {"supersampling": rays}
    pixels = Pixels(x + shift, y + shift, psf=PixelPSF(kernels, PIXEL / rays), **settings)
    together = render_on(pixels, *lens_and_source(torch.tensor(sources, dtype=torch.float64)))
    for i, center in enumerate(sources):
        psf = PixelPSF(kernels[i], PIXEL / rays)
        alone = render(*lens_and_source(center), x + shift[i], y + shift[i], psf=psf, **settings)
        torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=1e-14)
        some = render_on(pixels.take(torch.tensor([i, i])), *lens_and_source(center))
        torch.testing.assert_close(some, alone.expand(2, -1, -1), rtol=1e-12, atol=1e-14)


def test_pixels_that_are_the_same_for_all_images_are_those_of_some():
    pixels = Pixels(*pixel_grid(8, PIXEL), psf=BLUR)
    assert pixels.take(torch.tensor([1])) is pixels
