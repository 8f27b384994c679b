"""Stamps of galaxies: cleaned, centred, selected, and put behind a lens."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import rotate

import lensphys as lp
from simulate.sources.galaxies import half_light_radius, load_galaxies, prepare
from tests.simulate.sources.blobs import CONFIG, blob, configured, noise, pictures, stamp_of


@pytest.fixture(scope="module")
def shipped():
    return load_galaxies(CONFIG)


def test_stamps_have_unit_flux_dark_edges_and_their_centroid_in_the_middle(shipped):
    assert shipped.stamps.shape == (len(shipped), 64, 64)
    assert shipped.stamps.dtype == np.float32
    assert len(shipped) >= 6
    for stamp in shipped.stamps:
        assert stamp.sum() == pytest.approx(1, abs=1e-6)
        assert stamp.min() >= 0
        for edge in (stamp[0], stamp[-1], stamp[:, 0], stamp[:, -1]):
            assert edge.max() < 1e-3 * stamp.max()
        rows, columns = np.indices(stamp.shape) - 31.5
        assert abs((stamp * rows).sum()) < 0.3
        assert abs((stamp * columns).sum()) < 0.3


# Wider ones may not fit the stamp with all of their outskirts; they are then made smaller.
@settings(max_examples=25, deadline=None)
@given(
    row=st.floats(35, 44),
    column=st.floats(35, 44),
    sigma=st.floats(3, 4.5),
    sky=st.floats(-50, 50),
    seed=st.integers(0, 99),
)
def test_a_galaxy_is_found_above_its_sky_and_brought_to_the_middle(row, column, sigma, sky, seed):
    image = blob(row=row, column=column, sigma=sigma) + noise((80, 80), seed, sky)
    stamp, radius = stamp_of(image)
    # Half of the light of a Gaussian is within 1.1774 sigma.
    assert radius == pytest.approx(1.1774 * sigma, rel=0.025)
    expected = blob(64, 31.5, 31.5, sigma, 1.0)
    assert np.abs(stamp - expected).max() < 0.06 * expected.max()  # 5 sigma of the noise
    rows, columns = np.indices(stamp.shape) - 31.5
    assert abs((stamp * rows).sum()) < 0.01
    assert abs((stamp * columns).sum()) < 0.01


@pytest.mark.parametrize("distance", [20, 24, 30])
def test_neighbours_are_left_out(distance):
    image = blob(sigma=4.0) + noise((80, 80))
    image += blob(row=39.5 + distance, column=36.0, sigma=1.5, flux=400.0)
    stamp, radius = stamp_of(image)
    assert radius == pytest.approx(1.1774 * 4, rel=0.02)
    assert stamp[31 + distance - 2 :].sum() < 3e-3


def test_a_clump_in_the_galaxy_stays():
    image = blob(sigma=5.0) + noise((80, 80))
    image += blob(row=39.5, column=46.0, sigma=1.0, flux=20.0)
    with_clump, without = (stamp_of(v)[0] for v in (image, blob(sigma=5.0) + noise((80, 80))))
    assert (with_clump - without).max() > 0.5 * 20 / 2000 / (2 * math.pi)


def test_a_galaxy_larger_than_the_stamp_is_made_smaller():
    image = blob(200, 99.5, 99.5, 12.0, 20000.0) + noise((200, 200))
    large, small = (stamp_of(image, configured(size=size)) for size in (128, 32))
    for stamp, radius in (large, small):
        assert stamp.sum() == pytest.approx(1, abs=1e-6)
        assert stamp[0].max() < 1e-3 * stamp.max()
        # Wherever it ends up, its shape is that of the Gaussian it was.
        at = (len(stamp) - 1) / 2
        expected = blob(len(stamp), at, at, radius / 1.1774, 1.0)
        assert np.abs(stamp - expected).max() < 0.05 * expected.max()
    assert small[1] < 0.5 * large[1]


def test_the_same_galaxy_turned_has_the_same_size(shipped):
    stamp = shipped.stamps[0].astype(float)
    turned = rotate(stamp, 30, reshape=False, order=3)
    middle = (31.5, 31.5)
    assert half_light_radius(turned, middle) == pytest.approx(
        half_light_radius(stamp, middle), rel=5e-3
    )


@settings(max_examples=25, deadline=None)
@given(sigma=st.floats(2, 12), row=st.floats(45, 55))
def test_the_half_light_radius_of_a_gaussian_is_found_between_pixels(sigma, row):
    light = blob(100, row, 50.3, sigma, 1.0)
    exact = math.sqrt(2 * math.log(2)) * sigma
    assert half_light_radius(light, (row, 50.3)) == pytest.approx(exact, rel=0.015)


REJECTED = {
    "not_finite": np.where(np.arange(80) == 3, np.nan, blob() + noise((80, 80))),
    "empty": noise((80, 80)),
    "truncated": blob(sigma=4.0)[39] * np.ones((80, 1)) + noise((80, 80)),
    "unresolved": blob(sigma=1.2) + noise((80, 80)),
    "saturated": (60 * blob() + noise((80, 80))).clip(0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("reason", REJECTED)
def test_what_cannot_be_used_is_rejected_for_its_reason(reason):
    assert prepare(REJECTED[reason], CONFIG) == reason


@pytest.mark.parametrize("flat", [np.zeros((80, 80)), np.full((80, 80), 3, np.uint8)])
def test_an_image_without_anything_is_empty(flat):
    assert prepare(flat, CONFIG) == "empty"


@pytest.mark.parametrize("shape", [(4, 100), (100, 4), (6, 64), (1, 64)])
def test_a_sliver_of_an_image_is_empty(shape):
    assert prepare(noise(shape), CONFIG) == "empty"


def test_rejected_images_are_counted_and_the_others_keep_their_number(tmp_path):
    good = blob() + noise((80, 80))
    images = np.stack([good, REJECTED["empty"], good, REJECTED["truncated"], REJECTED["empty"]])
    path = pictures(tmp_path / "some.h5", images, ans=np.array([4, 5, 6, 7, 8]))
    galaxies = load_galaxies(configured(path=path))
    assert galaxies.number.tolist() == [0, 2]
    assert galaxies.label.tolist() == [4, 6]
    assert {k: v for k, v in galaxies.rejected.items() if v} == {"empty": 2, "truncated": 1}
    assert galaxies.report() == (
        "2 of 5 galaxies (left out: 2 no galaxy at the centre, 1 reaches the edge of its image)"
    )


def test_a_file_is_read_once_until_it_changes(tmp_path):
    path = pictures(tmp_path / "a.h5", np.stack([blob() + noise((80, 80))] * 2))
    first = load_galaxies(configured(path=path))
    assert load_galaxies(configured(path=path)) is first
    pictures(path, np.stack([blob() + noise((80, 80))] * 3))
    assert len(load_galaxies(configured(path=path))) == 3


def test_a_source_has_the_flux_the_size_and_the_place_asked_for(shipped):
    flux, R_half = (torch.tensor(v, dtype=torch.float64) for v in ([3.0, 50.0], [0.2, 0.4]))
    center_x = torch.tensor([0.3, -0.1], dtype=torch.float64)
    source = shipped.source(
        np.array([1, 3]), flux=flux, R_half=R_half, center_x=center_x, center_y=-0.2, phi_G=0.7
    )
    assert source.batch_shape == (2,)
    x, y = lp.pixel_grid(400, 0.01, dtype=torch.float64)
    light = source.surface_brightness(x, y).numpy() * 0.01**2
    np.testing.assert_allclose(light.sum((1, 2)), flux, rtol=1e-5)
    for i in range(2):
        centre = (-0.2 / 0.01 + 199.5, center_x[i].item() / 0.01 + 199.5)
        found = half_light_radius(light[i], centre) * 0.01
        assert found == pytest.approx(R_half[i].item(), rel=0.02)


def test_a_source_is_differentiable_in_what_places_it(shipped):
    p = {"flux": [3.0, 5.0], "R_half": [0.2, 0.4], "center_x": [0.1, 0.0], "phi_G": [0.3, 0.2]}
    p = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in p.items()}
    x, y = lp.pixel_grid(12, 0.1, dtype=torch.float64)
    lens = lp.ThinLens([lp.SIE(theta_E=0.4, e1=0.1)])
    image = lp.render(lens, shipped.source(np.array([0, 1]), **p), x, y)
    gradients = torch.autograd.grad((image * torch.linspace(0, 1, 12)).sum(), list(p.values()))
    assert all(torch.isfinite(g).all() and g.abs().min() > 0 for g in gradients)


def test_a_magnified_galaxy_shows_no_pixels(shipped):
    """Its slope is continuous from pixel to pixel, twenty times finer than they are."""
    n = 1200
    source = shipped.source(np.array([0]), flux=1.0, R_half=1.0)
    x = torch.linspace(-2, 2, n, dtype=torch.float64)[None]
    light = source.surface_brightness(x, torch.full_like(x, 0.03))[0, 0]
    step = 4 / n
    slope = light.diff() / step
    assert slope.diff().abs().max() < 0.1 * slope.abs().max()
