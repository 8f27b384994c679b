"""Pixels that are averaged over, PSFs on the finer grid, and the light of the lens."""

import itertools
import math

import numpy as np
import pytest
import torch
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from scipy.ndimage import gaussian_filter

from lensphys import (
    SIE,
    Gaussian,
    GaussianPSF,
    MoffatPSF,
    PixelPSF,
    Sersic,
    Shear,
    ThinLens,
    pixel_grid,
    render,
)
from lensphys.psf import FWHM_PER_SIGMA

RTOL = 1e-10

PIXEL = 0.1

SHAPE = (11, 14)

SIE_KWARGS = {"theta_E": 0.45, "e1": 0.1, "e2": -0.07, "center_x": 0.03, "center_y": -0.02}

# lenstronomy's own SIE has a core, its EPL has none.
EPL_KWARGS = SIE_KWARGS | {"gamma": 2.0}

SHEAR = {"gamma1": 0.05, "gamma2": 0.02}

SOURCE = {"R_sersic": 0.12, "n_sersic": 1.5, "e1": -0.1, "e2": 0.1, "center_x": 0.1}

GALAXY = {"sigma": 0.2, "e1": 0.15, "e2": 0.05, "center_x": 0.03}

LENS = ThinLens([SIE(**SIE_KWARGS), Shear(**SHEAR)])

LIGHT = Sersic(amplitude=20.0, **SOURCE)

GALAXY_LIGHT = Gaussian(amp=4.0, **GALAXY)


def picture(*shape, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def sky():
    return pixel_grid(SHAPE, PIXEL, dtype=torch.float64)


@pytest.fixture(scope="module")
def square():
    """lenstronomy makes supersampled images of square frames only."""
    return pixel_grid(14, PIXEL, dtype=torch.float64)


def lenstronomys(psf, supersampling, on_finer_grid):
    n, half = 14, (14 - 1) / 2 * PIXEL
    frame = ImageData(
        image_data=np.zeros((n, n)),
        transform_pix2angle=PIXEL * np.eye(2),
        ra_at_xy_0=-half,
        dec_at_xy_0=-half,
    )
    model = ImageModel(
        frame,
        psf,
        lens_model_class=LensModel(["EPL", "SHEAR"]),
        source_model_class=LightModel(["SERSIC_ELLIPSE"]),
        lens_light_model_class=LightModel(["GAUSSIAN_ELLIPSE"]),
        kwargs_numerics={
            "supersampling_factor": supersampling,
            "supersampling_convolution": on_finer_grid,
            "supersampling_kernel_size": None,
        },
    )
    source = {"amp": 20.0, "center_y": 0.0} | SOURCE
    galaxy = {"amp": 4.0, "center_y": 0.0} | GALAXY
    return model.image([EPL_KWARGS, SHEAR], [source], [galaxy], None)


@pytest.mark.parametrize("on_finer_grid", [False, True])
@pytest.mark.parametrize("s", [1, 2, 3, 5])
def test_a_supersampled_image_under_a_gaussian_is_lenstronomys(s, on_finer_grid, square):
    theirs = lenstronomys(PSF(psf_type="GAUSSIAN", fwhm=0.16, pixel_size=PIXEL), s, on_finer_grid)
    psf = GaussianPSF(0.16, PIXEL / s if on_finer_grid else PIXEL)
    found = render(LENS, LIGHT, *square, psf=psf, supersampling=s, lens_light=GALAXY_LIGHT)
    np.testing.assert_allclose(found, theirs, rtol=RTOL, atol=1e-12)


@pytest.mark.parametrize("s", [1, 2, 3])
def test_a_supersampled_image_under_a_pixel_psf_is_lenstronomys(s, square):
    kernel = picture(9, 9)
    kernel = kernel / kernel.sum()
    theirs = PSF(
        psf_type="PIXEL",
        kernel_point_source=kernel.numpy().copy(),
        point_source_supersampling_factor=s,
    )
    found = {}
    for on_finer_grid in {False, s > 1}:
        psf = (
            PixelPSF(kernel, PIXEL / s)
            if on_finer_grid
            else PixelPSF(kernel, PIXEL, supersampling=s)
        )
        image = render(LENS, LIGHT, *square, psf=psf, supersampling=s, lens_light=GALAXY_LIGHT)
        expected = lenstronomys(theirs, s, on_finer_grid)
        np.testing.assert_allclose(image, expected, rtol=RTOL, atol=1e-12)
        found[on_finer_grid] = image
    assert s == 1 or not torch.allclose(found[True], found[False], rtol=1e-3)


def test_without_a_psf_a_supersampled_image_is_lenstronomys(square):
    expected = lenstronomys(PSF(psf_type="NONE"), 4, False)
    found = render(LENS, LIGHT, *square, supersampling=4, lens_light=GALAXY_LIGHT)
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=1e-12)


@pytest.mark.parametrize("on_finer_grid", [False, True])
@pytest.mark.parametrize("s", [2, 3])
def test_a_frame_that_is_not_square_is_traced_blurred_and_averaged_too(s, on_finer_grid, sky):
    x, y = (v.numpy() for v in pixel_grid([s * n for n in SHAPE], PIXEL / s, dtype=torch.float64))
    beta = LensModel(["EPL", "SHEAR"]).ray_shooting(x.ravel(), y.ravel(), [EPL_KWARGS, SHEAR])
    source = {"amp": 20.0, "center_y": 0.0} | SOURCE
    fine = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(*beta, [source]).reshape(x.shape)
    sigma = 0.16 / FWHM_PER_SIGMA / PIXEL
    if on_finer_grid:
        fine = gaussian_filter(fine, sigma * s, mode="nearest", truncate=5)
    expected = fine.reshape(SHAPE[0], s, SHAPE[1], s).mean((1, 3)) * PIXEL**2
    if not on_finer_grid:
        expected = gaussian_filter(expected, sigma, mode="nearest", truncate=5)
    psf = GaussianPSF(0.16, PIXEL / s if on_finer_grid else PIXEL)
    found = render(LENS, LIGHT, *sky, psf=psf, supersampling=s)
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=1e-12)


def test_a_supersampled_image_is_the_finer_image_summed(sky):
    fine = pixel_grid((3 * SHAPE[0], 3 * SHAPE[1]), PIXEL / 3, dtype=torch.float64)
    summed = render(LENS, LIGHT, *fine).unflatten(1, (-1, 3)).unflatten(0, (-1, 3)).sum((1, 3))
    found = render(LENS, LIGHT, *sky, supersampling=3)
    torch.testing.assert_close(found, summed, rtol=1e-12, atol=0)


def test_the_flux_of_a_pixel_converges_to_its_integral(sky):
    # A Gaussian narrower than a pixel, whose integral over a pixel is known.
    sigma, x0, y0 = 0.04, 0.013, -0.021
    source = Gaussian(amp=3.0, sigma=sigma, center_x=x0, center_y=y0)

    def share(edge):
        return 0.5 * (1 + torch.erf(edge / (math.sqrt(2) * sigma)))

    x, y = sky
    along_x = share(x + PIXEL / 2 - x0) - share(x - PIXEL / 2 - x0)
    exact = 3 * along_x * (share(y + PIXEL / 2 - y0) - share(y - PIXEL / 2 - y0))
    empty = ThinLens([SIE(theta_E=0.0)])
    errors = [
        (render(empty, source, x, y, supersampling=s) - exact).abs().max().item()
        for s in (1, 2, 4, 8, 16)
    ]
    assert errors[0] > 0.1
    # The midpoint rule: a quarter of the error at half the step.
    assert all(b < 0.3 * a for a, b in itertools.pairwise(errors))
    assert errors[-1] < 1e-2 * errors[0]


def test_the_flux_of_a_lensed_source_converges(sky):
    dense = render(LENS, LIGHT, *sky, supersampling=40)
    errors = [
        (render(LENS, LIGHT, *sky, supersampling=s) - dense).abs().max().item() / dense.max().item()
        for s in (1, 3, 9)
    ]
    assert errors[0] > 5e-3
    assert all(b < a / 4 for a, b in itertools.pairwise(errors))


def test_a_wide_psf_does_not_mind_on_which_grid_it_acts(sky):
    source = Gaussian(amp=3.0, sigma=0.15)
    on_pixels, finer = (
        render(LENS, source, *sky, psf=GaussianPSF(0.4, scale), supersampling=3)
        for scale in (PIXEL, PIXEL / 3)
    )
    assert not torch.equal(on_pixels, finer)
    inside = (slice(3, -3), slice(3, -3))
    torch.testing.assert_close(on_pixels[inside], finer[inside], rtol=2e-2, atol=0)


def test_the_light_of_the_lens_is_not_lensed(sky):
    empty = ThinLens([SIE(theta_E=0.0)])
    both = render(LENS, LIGHT, *sky, lens_light=GALAXY_LIGHT)
    alone = render(LENS, LIGHT, *sky)
    torch.testing.assert_close(both - alone, render(empty, GALAXY_LIGHT, *sky), atol=1e-13, rtol=0)


def test_lights_add_before_the_psf(sky):
    psf, lights = GaussianPSF(0.16, PIXEL), [LIGHT, Gaussian(amp=1.0, sigma=0.1)]
    together = render(LENS, lights, *sky, psf=psf, lens_light=(GALAXY_LIGHT, GALAXY_LIGHT))
    parts = [render(LENS, light, *sky, psf=psf) for light in lights]
    galaxy = render(ThinLens([SIE(theta_E=0.0)]), GALAXY_LIGHT, *sky, psf=psf)
    torch.testing.assert_close(together, sum(parts) + 2 * galaxy, rtol=1e-12, atol=0)


def test_what_traces_rays_is_a_lens(sky):
    class Telescope:
        def ray_trace(self, x, y):
            return 0.5 * x, 0.5 * y

    source = Gaussian(amp=1.0, sigma=0.1)
    found = render(Telescope(), source, *sky)
    x, y = sky
    expected = source.surface_brightness(0.5 * x, 0.5 * y) * PIXEL**2
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("psf", [GaussianPSF(0.16, PIXEL), MoffatPSF(0.16, 3.0, PIXEL)])
def test_one_ray_a_pixel_is_the_plain_image(psf, sky):
    found = render(LENS, LIGHT, *sky, psf=psf, supersampling=1)
    assert torch.equal(found, psf.convolve(render(LENS, LIGHT, *sky)))


@pytest.mark.parametrize(
    "psf",
    [
        GaussianPSF(0.16, PIXEL),
        GaussianPSF(0.16, PIXEL / 2),
        MoffatPSF(0.16, 3.0, PIXEL, truncation=2.0),
        MoffatPSF(0.16, 3.0, PIXEL / 2, truncation=2.0),
    ],
    ids=["gaussian", "gaussian, finer", "moffat", "moffat, finer"],
)
def test_gradients_through_all_of_it_are_right(psf, check_gradients):
    x, y = pixel_grid((3, 4), PIXEL, dtype=torch.float64)
    galaxy = {f"galaxy_{k}": v for k, v in GALAXY.items()}

    def image(p):
        lens = ThinLens([SIE(**{k: p[k] for k in SIE_KWARGS}), Shear(**SHEAR)])
        source = Sersic(amplitude=20.0, R_sersic=p["R_sersic"], n_sersic=1.5)
        light = Gaussian(amp=4.0, **{k: p[f"galaxy_{k}"] for k in GALAXY})
        return render(lens, [source, LIGHT], x, y, psf=psf, supersampling=2, lens_light=light)

    check_gradients(image, SIE_KWARGS | {"R_sersic": 0.3} | galaxy)


def test_the_gradient_reaches_the_kernel_of_a_finer_psf(check_gradients):
    x, y = pixel_grid((3, 4), PIXEL, dtype=torch.float64)
    kernel = picture(3, 5)

    def image(p):
        psf = PixelPSF(p["kernel"], PIXEL / 2, normalise=True)
        return render(LENS, LIGHT, x, y, psf=psf, supersampling=2)

    check_gradients(image, {"kernel": kernel / kernel.sum()})


@pytest.mark.parametrize("scale", [PIXEL, PIXEL / 2])
def test_a_batch_is_its_members_one_by_one(scale, sky):
    theta_E = torch.tensor([0.3, 0.45, 0.6], dtype=torch.float64)

    def image(theta_E):
        lens = ThinLens([SIE(**(SIE_KWARGS | {"theta_E": theta_E}))])
        psf = MoffatPSF(0.16, 3.0, scale)
        return render(lens, LIGHT, *sky, psf=psf, supersampling=2, lens_light=GALAXY_LIGHT)

    together = image(theta_E)
    assert together.shape == (3, *SHAPE)
    single = torch.stack([image(value) for value in theta_E])
    torch.testing.assert_close(together, single, rtol=1e-11, atol=0)
    torch.testing.assert_close(torch.func.vmap(image)(theta_E), single, rtol=1e-11, atol=0)


def test_float32_is_float64_to_five_digits(sky):
    def image(x, y):
        psf = MoffatPSF(0.16, 3.0, PIXEL / 3)
        return render(LENS, LIGHT, x, y, psf=psf, supersampling=3, lens_light=GALAXY_LIGHT)

    narrow = image(*(v.float() for v in sky))
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), image(*sky), rtol=3e-5, atol=0)


@pytest.mark.parametrize("scale", [0.101, PIXEL / 2, PIXEL / 4])
def test_a_psf_for_neither_grid_is_refused(scale, sky):
    with pytest.raises(ValueError, match=r"psf\.pixel_scale is .* of 0\.1 arcsec and, supersam"):
        render(LENS, LIGHT, *sky, psf=GaussianPSF(0.16, scale), supersampling=3)


@pytest.mark.parametrize("bad", [0, -2, 1.5, True])
def test_a_supersampling_that_is_no_count_is_refused(bad, sky):
    with pytest.raises(ValueError, match=r"^supersampling must be a whole number from 1 on, got"):
        render(LENS, LIGHT, *sky, supersampling=bad)


def test_no_light_at_all_is_refused(sky):
    with pytest.raises(ValueError, match=r"^source must hold at least one light profile"):
        render(LENS, [], *sky)
    with pytest.raises(ValueError, match=r"^lens_light must hold at least one light profile"):
        render(LENS, LIGHT, *sky, lens_light=[])
