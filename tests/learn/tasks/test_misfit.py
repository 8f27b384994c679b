"""Misfit by a noise or a PSF other than the assumed one."""

import math

import pytest
import torch

import lensphys as lp
from learn.lens_fits.channels import CHANNELS, MASKED
from learn.tasks.misfit import MISFIT, find_seen, measure_misfit

SCALE, SIGMA, FWHM = 0.08, 4e-4, 0.16


def observed(
    *, psf: float = 1.0, noise: float = 1.0, clump: float = 0.0, count: int = 30
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, H, W) and the channels of their true models, which lack what is given."""
    x, y = lp.pixel_grid(64, SCALE)
    source = lp.Sersic(amplitude=1.0, R_sersic=0.3, n_sersic=1.0, center_x=0.1, center_y=0.05)

    def render(width: float, mass: float) -> torch.Tensor:
        parts = [lp.SIE(theta_E=1.2, e1=0.1, e2=0.0), lp.Shear(gamma1=0.03, gamma2=0.0)]
        parts += [lp.PointMass(theta_E=mass, center_x=1.2, center_y=0.3)] if mass else []
        kernel = lp.GaussianPSF(width * FWHM, SCALE)
        return lp.render(lp.ThinLens(parts), source, x, y, psf=kernel)

    model, true = render(1.0, 0.0), render(psf, clump)
    rng = torch.Generator().manual_seed(1)
    image = true + noise * SIGMA * torch.randn(count, 64, 64, generator=rng)
    slopes = torch.stack(torch.gradient(model, dim=(0, 1)))[[1, 0]] / SCALE / SIGMA
    parts = {
        "residual": ((image - model) / SIGMA)[:, None],
        "response": slopes.expand(count, 2, 64, 64),
        "source_plane": torch.zeros(count, 2, 64, 64),
        "sigma": torch.full((count, 1, 64, 64), SIGMA),
    }
    missing = {
        name: torch.zeros(count, parts_of, 64, 64) for name, parts_of in CHANNELS.parts.items()
    }
    return image[:, None], CHANNELS.join(missing | parts)


def test_noise_alone_is_one_and_like_nothing() -> None:
    found = measure_misfit(*observed())
    assert found.shape == (30, MISFIT)
    # Chi^2 of 2048 pixels scatters by 3%, a signal-to-noise ratio by one.
    assert found[:, 0].mean().item() == pytest.approx(0, abs=0.02)
    assert found[:, 0].std().item() == pytest.approx(math.sqrt(2 / 2048), rel=0.5)
    assert found[:, 1].mean().item() == pytest.approx(0, abs=0.6)
    assert found[:, 1].std().item() == pytest.approx(1, rel=0.4)


def test_more_noise_raises_the_first_by_the_logarithm_of_its_square() -> None:
    found = measure_misfit(*observed(noise=1.2)) - measure_misfit(*observed())
    assert found[:, 0].mean().item() == pytest.approx(2 * math.log(1.2), abs=1e-4)
    assert found[:, 1].abs().max().item() < 0.3


def test_a_wider_psf_raises_the_second_and_a_narrower_one_lowers_it() -> None:
    wider, narrower = (measure_misfit(*observed(psf=width)) for width in (1.1, 0.9))
    assert wider[:, 1].min().item() > 5
    assert narrower[:, 1].max().item() < -5
    assert wider[:, 0].mean().item() == pytest.approx(0, abs=0.02)


def test_a_mass_that_the_model_lacks_changes_neither_much() -> None:
    image, channels = observed(clump=0.1)
    chi2 = channels[:, CHANNELS["residual"]].square().mean((1, 2, 3))
    assert chi2.min().item() > 1.3, "it is seen"
    found = measure_misfit(image, channels)
    assert found[:, 0].mean().item() == pytest.approx(0, abs=0.05)
    wider = measure_misfit(*observed(psf=1.1))
    assert found[:, 1].abs().mean().item() < wider[:, 1].mean().item() / 2


def test_masked_pixels_do_not_count() -> None:
    image, channels = observed(noise=1.2)
    whole = measure_misfit(image, channels)
    channels = channels.clone()
    channels[:, CHANNELS["residual"], :, :16] /= 1e3
    channels[:, CHANNELS["sigma"], :, :16] *= 1e3
    image[..., :16] = 1e4
    part = measure_misfit(image, channels)
    assert find_seen(channels[:, CHANNELS["sigma"]][:, 0])[:, 0].sum().item() == 30 * 48
    assert part[:, 0].mean().item() == pytest.approx(whole[:, 0].mean().item(), abs=0.02)
    assert bool(part.isfinite().all())


@pytest.mark.parametrize("width", [24, 40, 62])
@pytest.mark.parametrize("unit", [1.0, 700 / SIGMA])
def test_padding_changes_neither_however_much_of_the_image_it_is(width: int, unit: float) -> None:
    """Padding responds to nothing, and has the noise of what is masked, whatever the unit."""
    image, channels = observed(noise=1.2)
    whole = measure_misfit(image, channels)
    channels = channels.clone()
    channels[:, CHANNELS["sigma"]] *= unit
    for name, value in {"residual": 0.0, "response": 0.0, "sigma": MASKED}.items():
        channels[:, CHANNELS[name], :, :width] = value
    image = image * unit
    image[..., :width] = 0.0
    seen = find_seen(channels[:, CHANNELS["sigma"]][:, 0].half())
    assert seen.sum().item() == 30 * 64 * (64 - width)
    part = measure_misfit(image, channels)
    # Chi^2 of 64 pixels of each of 30 images: 3%.
    assert part[:, 0].mean().item() == pytest.approx(whole[:, 0].mean().item(), abs=0.1)
    assert part.isfinite().all()


def test_the_darker_half_is_that_of_what_is_seen() -> None:
    """Two of four pixels that are seen are dark; the brightest tenth is none of them."""
    parts = {name: torch.zeros(1, n, 4, 4) for name, n in CHANNELS.parts.items()}
    parts["sigma"][:] = MASKED
    parts["sigma"][..., 0, :] = 1.0
    parts["response"][..., 0, :] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    parts["residual"][..., 0, :] = torch.tensor([2.0, 4.0, 9.0, 9.0])
    found = measure_misfit(torch.zeros(1, 1, 4, 4), CHANNELS.join(parts))
    assert found[0, 0].item() == pytest.approx(math.log((4 + 16) / 2))


def test_units_and_failed_fits() -> None:
    image, channels = observed(count=3)
    scaled = channels.clone()
    scaled[:, CHANNELS["sigma"]] *= 100
    torch.testing.assert_close(
        measure_misfit(100 * image, scaled), measure_misfit(image, channels), rtol=1e-3, atol=1e-3
    )
    assert bool(measure_misfit(image, torch.zeros_like(channels)).isfinite().all())
    assert bool(measure_misfit(image, torch.full_like(channels, 6e4).half()).isfinite().all())
