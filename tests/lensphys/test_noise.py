"""Noise of the detector, the sky and the photons."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.SimulationAPI.observation_api import SingleBand

from lensphys import Noise, background_sigma, pixel_grid

BANDS = {
    "Euclid VIS": {
        "read_noise": 4.2,
        "sky_brightness": 22.35,
        "magnitude_zero_point": 24.0,
        "exposure_time": 565.0,
        "num_exposures": 4,
        "pixel_scale": 0.101,
    },
    "HST WFC3 F160W": {
        "read_noise": 4.0,
        "sky_brightness": 22.3,
        "magnitude_zero_point": 25.96,
        "exposure_time": 5400.0,
        "num_exposures": 1,
        "pixel_scale": 0.08,
    },
}


def random_image(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("band", BANDS.values(), ids=BANDS)
def test_the_background_of_a_published_band_is_lenstronomys(band):
    assert background_sigma(**band) == pytest.approx(SingleBand(**band).background_noise, rel=1e-14)


@settings(max_examples=25, deadline=None)
@given(
    band=st.fixed_dictionaries(
        {
            "read_noise": st.floats(0, 20),
            "sky_brightness": st.floats(18, 25),
            "magnitude_zero_point": st.floats(22, 30),
            "exposure_time": st.floats(10, 1e4),
            "num_exposures": st.integers(1, 10),
            "pixel_scale": st.floats(0.02, 0.5),
        }
    )
)
def test_the_background_is_lenstronomys(band):
    assert background_sigma(**band) == pytest.approx(SingleBand(**band).background_noise, rel=1e-12)


@pytest.mark.parametrize("band", BANDS.values(), ids=BANDS)
def test_the_noise_map_is_lenstronomys_estimate(band):
    instrument, image = SingleBand(**band), random_image(5, 7)
    noise = Noise(background_sigma(**band), band["exposure_time"] * band["num_exposures"])
    np.testing.assert_allclose(
        noise.sigma(image), instrument.estimate_noise(image.numpy()), rtol=1e-13
    )


@pytest.mark.parametrize(
    ("background", "time", "flux"), [(0.01, 2260.0, 0.05), (0.3, 50.0, 0.0), (1e-4, 20.0, 3.0)]
)
def test_noise_has_the_mean_and_the_variance_that_its_map_states(background, time, flux):
    noise, image = Noise(background, time), torch.full((400, 500), flux, dtype=torch.float64)
    sigma, excess = noise.sigma(image)[0, 0].item(), noise.add(image, generator(7)) - image
    n = image.numel()
    assert abs(excess.mean().item()) < 5 * sigma / math.sqrt(n)
    # Var(s^2) = (mu_4 - sigma^4) / n, with mu_4 = 3 sigma^4 and the Poisson's excess lambda / T^4.
    spread = math.sqrt((2 * sigma**4 + flux / time**3) / n)
    assert abs(excess.var().item() - sigma**2) < 5 * spread


def test_without_a_background_the_electrons_are_counted_one_by_one():
    electrons = Noise(0.0, 20.0).add(random_image(9, 9), generator(1)) * 20.0
    torch.testing.assert_close(electrons, electrons.round(), rtol=0, atol=1e-12)
    assert electrons.min() >= 0


def test_the_same_generator_gives_the_same_noise():
    noise, image = Noise(0.01, 2260.0), random_image(2, 9, 9)
    first, again, other = (noise.add(image, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_two_images_of_a_batch_have_different_noise():
    noisy = Noise(0.01, 2260.0).add(random_image(1, 9, 9).expand(2, -1, -1), generator(5))
    assert not torch.equal(noisy[0], noisy[1])


def test_noise_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    Noise(0.01, 2260.0).add(random_image(4, 4), generator(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_image_of_a_batch_has_its_own_background_and_exposure():
    image = torch.full((2, 5, 7), 0.4, dtype=torch.float64)
    background, time = torch.tensor([0.01, 0.2]), torch.tensor([100.0, 1e4])
    together = Noise(background, time).sigma(image)
    for i in range(2):
        alone = Noise(background[i].item(), time[i].item()).sigma(image[i])
        torch.testing.assert_close(together[i], alone, rtol=1e-14, atol=0)


def test_a_pixel_of_negative_flux_has_no_shot_noise():
    image = torch.tensor([[-0.5, 0.0]], dtype=torch.float64)
    noise = Noise(0.1, 10.0)
    assert noise.sigma(image).tolist() == [[pytest.approx(0.1), pytest.approx(0.1)]]
    assert torch.isfinite(noise.add(image, generator(2))).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_keeps_the_dtype_of_the_image(dtype):
    x, _ = pixel_grid(4, 0.1, dtype=dtype)
    assert Noise(0.1, 10.0).add(x, generator(2)).dtype == dtype
    assert Noise(0.1, 10.0).sigma(x).dtype == dtype


@pytest.mark.parametrize("bad", [-1e-9, math.nan, math.inf])
@pytest.mark.parametrize("convert", [float, lambda bad: torch.tensor([0.1, bad])])
def test_a_bad_background_is_refused_by_name(bad, convert):
    with pytest.raises(ValueError, match=r"^background_sigma must be finite and in \[0, inf\)"):
        Noise(convert(bad), 100.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("convert", [float, lambda bad: torch.tensor([100.0, bad])])
def test_a_bad_exposure_time_is_refused_by_name(bad, convert):
    with pytest.raises(ValueError, match=r"^exposure_time must be finite and in \(0, inf\)"):
        Noise(0.1, convert(bad))


def test_noise_without_a_background_is_allowed():
    image = torch.ones(2, 3)
    assert Noise(0.0, 4.0).sigma(image).flatten().tolist() == [0.5] * 6


def test_noise_of_two_batches_is_refused():
    with pytest.raises(ValueError, match=r"background_sigma \(2,\), exposure_time \(3,\)"):
        Noise(torch.ones(2), torch.ones(3))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exposure_time", 0.0),
        ("exposure_time", -1.0),
        ("read_noise", -4.0),
        ("pixel_scale", 0.0),
        ("sky_brightness", math.nan),
        ("num_exposures", 0),
    ],
)
def test_a_background_that_cannot_be_is_refused(name, value):
    numbers = {
        "read_noise": 4.2,
        "sky_brightness": 22.35,
        "magnitude_zero_point": 24.0,
        "exposure_time": 565.0,
        "num_exposures": 4,
        "pixel_scale": 0.101,
    }
    with pytest.raises(ValueError, match=f"{name} must be finite and in"):
        background_sigma(**numbers | {name: value})


def test_an_image_of_whole_numbers_or_half_precision_has_the_noise_of_floats():
    noise = Noise(0.5, 100.0)
    image = torch.arange(12.0).reshape(3, 4)
    for other in (image.to(torch.uint8), image.half(), image.numpy().astype(">f4")):
        torch.testing.assert_close(noise.sigma(other).float(), noise.sigma(image))
        assert noise.add(other, torch.Generator().manual_seed(0)).is_floating_point()


def test_a_background_is_that_of_single_numbers_of_any_kind():
    band = {"sky_brightness": 22.0, "magnitude_zero_point": 25.0, "exposure_time": 500.0}
    band |= {"num_exposures": 4, "pixel_scale": 0.1}
    expected = background_sigma(read_noise=4.0, **band)
    for read_noise in (torch.tensor(4.0), np.array(4.0, ">f4"), np.longdouble(4)):
        assert background_sigma(read_noise=read_noise, **band) == expected
    with pytest.raises(ValueError, match=r"^read_noise must be one number, got a tensor of shape"):
        background_sigma(read_noise=torch.ones(2), **band)
