"""Search for dark perturbers: brute force, noise alone, injected masses, units, refusals."""

import math

import pytest
import torch
from torch.func import jvp

from lensphys import GaussianPSF, PixelPSF, detect, fit, pixel_grid
from lensphys.cosmology import FlatDistances, mass_of_theta_E
from lensphys.detection.perturbers import make_perturbers
from lensphys.fitting.scene import LensScene
from lensphys.products import product
from lensphys.rendering import Pixels
from tests.lensphys.detection.brute import search
from tests.lensphys.fitting.mocks import KIND, PIXEL, PSF, draw, image_of, noise_like

SHAPE = (24, 28)
PLACES = list(range(0, SHAPE[0] * SHAPE[1], 11))


def kernel(*shape):
    values = torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return PixelPSF(kernel=values, pixel_scale=PIXEL, normalise=True)


def fitted(psf=PSF, factor=1, dtype=torch.float64, mask=False, **settings):
    """Two lenses with noise, fitted from the truth."""
    truth = draw(2, seed=5)
    clean = image_of(truth, SHAPE, supersampling=factor, psf=psf)
    sigma = (clean.amax((1, 2)) / 40)[:, None, None].expand(clean.shape).clone()
    images = clean + sigma * noise_like(clean, 6)
    if mask:
        sigma[:, 5:9, :14] = torch.inf
    settings = {"start": truth} | settings
    kind = {"pixel_scale": PIXEL, "psf": psf, "supersampling": factor}
    return fit(images.to(dtype), sigma.to(dtype), **kind, **settings)


def assert_as_by_brute_force(result, profile="point_mass", **settings):
    """To 1e-4 where a thousandth of the square of a change is left by the fit, or more."""
    maps = detect(result, profile, **settings)
    perturber = make_perturbers(profile, {}, settings.get("angles"))[0]
    for k in range(len(result.chi2_dof)):
        expected = search(result, k, perturber, PLACES)
        left = (expected["error_fixed"] / expected["error"]).square()
        allowed = 1e-4 + 3e-7 / left
        for name, wanted in expected.items():
            found = getattr(maps, name)[k].flatten()[PLACES].double()
            # The error of the mass follows from that of its error too.
            unit = expected["error"] if name == "mass" else torch.ones_like(wanted)
            scale = torch.maximum(unit, wanted.abs()) if "error" not in name else wanted
            assert ((found - wanted) / scale / allowed).abs().max() < 1, (k, name)
    torch.testing.assert_close(maps.least_mass, 5 * maps.error)
    return maps


CASES = {
    "gaussian": {},
    "float32": {"dtype": torch.float32},
    "four rays a pixel": {"psf": GaussianPSF(0.12, PIXEL / 2), "factor": 2},
    "kernel of its own": {"psf": kernel(5, 7)},
    "priors": {"psf": None, "priors": {"theta_E": (0.9, 0.004), "source_e1": (0.0, 0.02)}},
    "masked": {"psf": kernel(3, 3), "mask": True},
    "fixed parameters": {"psf": None, "fixed": {"center_x": 0.0, "source_n_sersic": 1.0}},
    "not converged": {"psf": kernel(3, 3), "max_steps": 0},
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_maps_are_those_of_the_projection_written_out(settings):
    maps = assert_as_by_brute_force(fitted(**settings))
    dtype = settings.get("dtype", torch.float64)
    assert {maps.snr.dtype, maps.mass.dtype, maps.x.dtype} == {dtype}
    assert maps.snr.shape == (2, *SHAPE)


@pytest.mark.parametrize(("profile", "settings"), [("TNFW", {}), ("line", {"angles": 1})])
def test_haloes_and_lines_are_searched_for_too(profile, settings):
    maps = assert_as_by_brute_force(fitted(kernel(3, 3)), profile, **settings)
    assert maps.angle is None or not maps.angle.any()


def test_every_image_has_its_own_kernel():
    kernels = kernel(2, 3, 5)
    result = fitted(kernels)
    assert_as_by_brute_force(result)


def test_amplitudes_that_were_solved_for_are_marginalised_with_their_regularisation():
    result = fitted(kernel(3, 3), source="shapelets", source_order=4, start=None, n_starts=1)
    assert result.amplitudes["source"].shape == (2, 15)
    assert_as_by_brute_force(result)


def test_a_line_has_the_orientation_of_the_largest_snr():
    result = fitted(kernel(3, 3))
    maps = detect(result, "line", angles=3, half_length=0.4)
    alone = torch.stack(
        [
            search(result, 0, line, PLACES)["snr"]
            for line in make_perturbers("line", {"half_length": 0.4}, 3)
        ]
    )
    best = alone.abs().argmax(0)
    chosen = maps.angle[0].flatten()[PLACES] * 3 / math.pi
    torch.testing.assert_close(chosen, best.double(), rtol=0, atol=1e-6)
    found = maps.snr[0].flatten()[PLACES]
    torch.testing.assert_close(found, alone.gather(0, best[None])[0], rtol=0, atol=1e-3)


def test_a_place_that_sees_nothing_is_nan():
    result = fitted(kernel(3, 3))
    result.problem.weight[0] = 0.0
    maps = detect(result)
    assert maps.snr[0].isnan().all()
    assert maps.error[0].isnan().all()
    assert maps.snr[1].isfinite().all()


def test_of_noise_alone_the_snr_has_a_standard_deviation_of_one_everywhere():
    truth = draw(192, seed=5)
    clean = image_of(truth, (24, 24))
    sigma = clean.amax((1, 2)) / 30
    images = (clean + sigma[:, None, None] * noise_like(clean, 7)).float()
    maps = detect(fit(images, sigma.float(), start=truth, **KIND))
    assert maps.snr.isfinite().float().mean() > 0.999
    squares = maps.snr.double().nan_to_num(1.0).square()
    assert 0.95 < squares.mean().sqrt() < 1.05
    # Few places of a lens are independent: each of sixteen regions is known to 5%.
    regions = torch.nn.functional.avg_pool2d(squares.mean(0)[None], 6).sqrt()
    assert regions.min() > 0.85
    assert regions.max() < 1.15
    # Without the projection the S/N would be a third of that.
    assert maps.snr_fixed.nan_to_num(0.0).square().mean().sqrt() < 0.5


def refit(result, images, sigma, perturber, at, mass):
    """Best mass of a perturber in a given place beside all other parameters, to all orders."""
    x, y = pixel_grid(images.shape[-2:], PIXEL, dtype=torch.float64)
    pixels, scene = Pixels(x, y, psf=PSF), LensScene()
    at_x, at_y = (v[:, None, None] for v in at)
    alpha_x, alpha_y = perturber.deflection(x - at_x, y - at_y)

    def model(table):
        named, m = scene.named(table[:, :-1]), table[:, -1, None, None]
        a_x, a_y = scene.lens(named).deflection(x, y)
        beta = x - a_x - m * alpha_x, y - a_y - m * alpha_y
        return pixels.collect(scene.source(named).surface_brightness(*beta)) / sigma

    table = torch.stack([*result.params.values(), mass], 1)
    damping = torch.full((len(table),), 1e-3, dtype=torch.float64)
    chi2 = (images / sigma - model(table)).square().sum((1, 2))
    for _ in range(8):
        unit = torch.eye(table.shape[1], dtype=torch.float64)
        rows = [jvp(model, (table,), (v.expand_as(table).clone(),))[1] for v in unit]
        jacobian = torch.stack(rows, 1).flatten(2)
        left = (images / sigma - model(table)).flatten(1)
        normal = product(jacobian, jacobian.mT)
        normal = normal + torch.diag_embed(damping[:, None] * normal.diagonal(dim1=1, dim2=2))
        gradient = product(jacobian, left[..., None])[..., 0]
        new = table + torch.linalg.solve(normal, gradient)
        new_chi2 = (images / sigma - model(new)).square().sum((1, 2))
        better = new_chi2 < chi2
        table = torch.where(better[:, None], new, table)
        chi2 = torch.where(better, new_chi2, chi2)
        damping = torch.where(better, 0.2 * damping, 5 * damping)
    return table[:, -1], chi2


@pytest.mark.parametrize("profile", ["point_mass", "TNFW"])
def test_injected_masses_are_recovered_as_by_a_full_refit(profile):
    count, peak, snr = 16, 150, 15
    truth, (perturber,) = draw(count, seed=11), make_perturbers(profile, {}, None)
    clean = image_of(truth)
    sigma = (clean.amax((1, 2)) / peak)[:, None, None]
    # A place among those that see the least masses, and a mass of the S/N that is wanted there.
    error = detect(fit(clean, sigma.expand_as(clean), start=truth, **KIND), profile).error
    place = error.flatten(1).argsort(1)[torch.arange(count), 3 * torch.arange(count) % 40]
    mass = snr * error.flatten(1).gather(1, place[:, None])[:, 0]
    x, y = pixel_grid(32, PIXEL, dtype=torch.float64)
    at = x.flatten()[place], y.flatten()[place]
    alpha = perturber.deflection(x - at[0][:, None, None], y - at[1][:, None, None])
    scene = LensScene()
    a_x, a_y = scene.lens(truth).deflection(x, y)
    beta = (
        v - a - mass[:, None, None] * d for v, a, d in zip((x, y), (a_x, a_y), alpha, strict=True)
    )
    light = scene.source(truth).surface_brightness(*beta)
    images = Pixels(x, y, psf=PSF).collect(light) + sigma * noise_like(clean, 8)

    result = fit(images, sigma.expand_as(images), start=truth, **KIND)
    maps = detect(result, profile)
    found, seen = (v.flatten(1).gather(1, place[:, None])[:, 0] for v in (maps.mass, maps.snr))
    full, chi2 = refit(result, images, sigma, perturber, at, found)
    assert (chi2 / images[0].numel()).median() < 1.05
    assert seen.median() > 12
    ratio = found / full
    assert 0.95 < ratio.median() < 1.05
    assert 0.9 < ratio.mean() < 1.1
    assert 0.9 < (found / mass).median() < 1.1


def test_masses_are_in_solar_masses_where_redshifts_are_given():
    result = fitted(kernel(3, 3))
    plain = detect(result)
    cosmology = FlatDistances(H0=70.0, Om0=0.3)
    known = detect(result, z_lens=0.5, z_source=1.5, cosmology=cosmology)
    unit = mass_of_theta_E(1.0, 0.5, 1.5, cosmology)
    assert (plain.unit, known.unit) == ("arcsec^2", "solar masses")
    for name in ("mass", "error", "least_mass", "error_fixed"):
        expected = unit * getattr(plain, name)
        torch.testing.assert_close(getattr(known, name), expected, rtol=1e-12, atol=0)
    assert torch.equal(known.snr, plain.snr)
    each = detect(result, z_lens=torch.tensor([0.5, 0.2]), z_source=1.5)
    ratio = each.error / plain.error
    assert float(ratio[0].mean()) == pytest.approx(unit, rel=0.05)
    assert float(ratio[1].std() / ratio[1].mean()) < 1e-10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"profile": "NFW"}, "profile must be one of"),
        ({"half_length": 0.2}, "half_length is a size of the profile 'line'"),
        ({"z_lens": 0.5}, "z_lens and z_source must be given together"),
        ({"cosmology": FlatDistances(H0=70.0, Om0=0.3)}, "a cosmology needs z_lens and z_source"),
        ({"z_lens": 0.5, "z_source": 0.4}, "must lie behind the lens"),
        (
            {"z_lens": torch.tensor([0.1, 0.2, 0.3]), "z_source": 1.0},
            r"of shape \(2,\), got \(3,\)",
        ),
    ],
)
def test_bad_settings_are_refused(settings, message):
    result = fitted(kernel(3, 3), max_steps=0)
    with pytest.raises(ValueError, match=message):
        detect(result, **settings)


def test_a_search_in_inference_mode_is_the_same():
    result = fitted(kernel(3, 3))
    expected = detect(result)
    with torch.inference_mode():
        found = detect(fitted(kernel(3, 3)))
    torch.testing.assert_close(found.snr, expected.snr, rtol=1e-9, atol=1e-9)


def test_only_results_of_fits_are_searched():
    with pytest.raises(ValueError, match=r"result must be that of lp\.fit, got int"):
        detect(3)
