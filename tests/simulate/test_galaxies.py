"""Sources from images of galaxies: reading, cleaning, selecting, and putting behind a lens."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import rotate

import lensphys as lp
from lensphys.ground.config import checked, config_folder, read_yaml
from lensphys.ground.errors import InputError
from simulate.sources.files import digest
from simulate.sources.config import GalaxyImagesConfig
from simulate.sources.galaxies import half_light_radius, load_galaxies, prepare
from simulate.sources.procedural import procedural_galaxies, write_procedural_galaxies

SHIPPED = Path(__file__).parents[1] / "data" / "galaxies.h5"
VALUES = read_yaml(config_folder("simulate") / "model2.yaml")["galaxies"]


def configured(**changes):
    return checked(GalaxyImagesConfig, VALUES | {"path": SHIPPED} | changes, "model2.yaml")


CONFIG = configured()
NOISE = 0.1


def blob(side=80, row=39.5, column=39.5, sigma=5.0, flux=2000.0):
    rows, columns = np.indices((side, side))
    r2 = (rows - row) ** 2 + (columns - column) ** 2
    return flux / (2 * math.pi * sigma**2) * np.exp(-r2 / (2 * sigma**2))


def noise(shape, seed=0, sky=7.0):
    return sky + np.random.default_rng(seed).normal(0.0, NOISE, shape)


def stamp_of(image, config=CONFIG):
    made = prepare(image, config)
    assert not isinstance(made, str), made
    return made


def pictures(path, images, **others):
    with h5py.File(path, "w") as file:
        for name, values in ({"images": images} | others).items():
            file[name] = values
    return path


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


def test_some_of_a_file_are_spread_over_all_of_it(tmp_path):
    images = np.stack([blob() + noise((80, 80), k) for k in range(9)])
    galaxies = load_galaxies(configured(path=pictures(tmp_path / "n.h5", images), max_images=3))
    assert galaxies.number.tolist() == [0, 3, 6]
    assert galaxies.label.tolist() == [-1] * 3


def test_one_file_in_any_format_gives_the_same_stamps(tmp_path):
    images = np.stack([blob(sigma=3.0 + k) + noise((80, 80), k) for k in range(3)]).astype("f4")
    fits.PrimaryHDU(images).writeto(tmp_path / "cube.fits")
    (tmp_path / "folder").mkdir()
    for k, image in enumerate(images):
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)])
        hdus.writeto(tmp_path / "folder" / f"{k}.fits")
    fits.PrimaryHDU(images[0]).writeto(tmp_path / "one.fits")
    expected = load_galaxies(configured(path=pictures(tmp_path / "a.h5", images)))
    for name in ("cube.fits", "folder", "one.fits"):
        found = load_galaxies(configured(path=tmp_path / name))
        assert len(found) == (1 if name == "one.fits" else 3)
        np.testing.assert_array_equal(found.stamps, expected.stamps[: len(found)])


def test_a_cube_of_integers_as_detectors_write_them_is_read(tmp_path):
    images = np.stack([200 * (blob() + noise((80, 80), k)) + 300 for k in range(2)])
    fits.PrimaryHDU(images.clip(0, 65000).astype(np.uint16)).writeto(tmp_path / "cube.fits")
    assert len(load_galaxies(configured(path=tmp_path / "cube.fits"))) == 2


def test_colours_are_weighted(tmp_path):
    image = blob() + noise((80, 80))
    red = np.stack([image, 0 * image, 0 * image], axis=-1)
    stamp, _ = stamp_of(red, configured(rgb_weights=(1.0, 0.0, 0.0)))
    np.testing.assert_array_equal(stamp, stamp_of(image)[0])
    assert prepare(red, configured(rgb_weights=(0.0, 1.0, 0.0))) == "empty"
    fits.PrimaryHDU(np.moveaxis(red, -1, 0)).writeto(tmp_path / "colour.fits")
    found = load_galaxies(configured(path=tmp_path, rgb_weights=(1.0, 0.0, 0.0)))
    np.testing.assert_array_equal(found.stamps[0], stamp)


def test_the_identity_follows_the_contents_and_not_the_place(tmp_path):
    copy, other = tmp_path / "galaxies.h5", tmp_path / "other.h5"
    copy.write_bytes(SHIPPED.read_bytes())
    write_procedural_galaxies(other, 1, 64, np.random.default_rng(9))
    assert configured(path=copy).identity() == CONFIG.identity()
    assert configured(path=other).identity() != CONFIG.identity()
    assert configured(size=32).identity() != CONFIG.identity()
    (tmp_path / "folder").mkdir()
    fits.PrimaryHDU(blob()).writeto(tmp_path / "folder" / "a.fits")
    before = digest(tmp_path / "folder")
    fits.PrimaryHDU(blob()).writeto(tmp_path / "folder" / "b.fits")
    assert digest(tmp_path / "folder") != before


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


def test_procedural_galaxies_follow_their_generator_and_fill_their_range():
    first, again = (procedural_galaxies(2, 64, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first.shape, first.dtype) == ((2, 64, 64, 3), np.uint8)
    assert not np.array_equal(first[0], first[1])
    assert first.max() > 150
    assert 10 < np.median(first) < 40


def test_the_shipped_galaxies_are_made_as_their_readme_says(tmp_path):
    with h5py.File(SHIPPED) as file:
        images = file["images"][()]
    made = procedural_galaxies(8, 64, np.random.default_rng(1))
    # The last digit of a rounded exponential may differ between machines.
    assert np.abs(images.astype(int) - made).max() <= 1
    assert SHIPPED.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.h5", {"pictures": np.zeros((2, 8, 8))}, "has no dataset 'images' .* it has pictures"),
        ("a.h5", {}, "has no dataset 'images' .* it has nothing"),
        ("a.h5", {"images": np.zeros((2, 8, 8, 4))}, r"must be numbers of shape .*\(2, 8, 8, 4\)"),
        ("a.h5", {"images": np.zeros((0, 8, 8))}, "must be numbers of shape"),
        ("a.h5", {"images": np.array([b"x"])}, "must be numbers of shape"),
        ("a.h5", {"images": np.zeros((2, 80, 80)), "ans": np.zeros(3, int)}, "'ans' must be whole"),
        ("a.h5", {"images": np.zeros((2, 80, 80))}, r"no usable galaxy \(2 no galaxy at the cen"),
        ("a.txt", None, "neither an HDF5 file"),
        ("b.h5", None, "cannot read galaxy images from"),
        ("b.fits", None, "cannot read galaxy images from"),
    ],
)
def test_a_file_that_does_not_serve_is_refused_in_one_line(tmp_path, name, contents, message):
    path = tmp_path / name
    if contents is None:
        path.write_bytes(b"nothing of the kind")
    else:
        with h5py.File(path, "w") as file:
            for key, values in contents.items():
                file[key] = values
    with pytest.raises(InputError, match=message) as caught:
        load_galaxies(configured(path=path))
    assert "\n" not in str(caught.value)


def test_a_path_where_there_is_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^there are no galaxy images at"):
        load_galaxies(configured(path=tmp_path / "none.h5"))
    with pytest.raises(InputError, match="holds no FITS file"):
        load_galaxies(configured(path=tmp_path))


def test_a_cutout_of_other_dimensions_is_refused(tmp_path):
    fits.PrimaryHDU(np.zeros((2, 8, 8))).writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match=r"no usable galaxy \(1 that cannot be read\)"):
        load_galaxies(configured(path=tmp_path))
    fits.PrimaryHDU().writeto(tmp_path / "b.fit")
    with pytest.raises(InputError, match="holds no image"):
        load_galaxies(configured(path=tmp_path / "b.fit"))


def test_weights_of_colours_sum_to_one():
    with pytest.raises(InputError, match="rgb_weights: the weights must not be negative"):
        configured(rgb_weights=(1.0, 1.0, 1.0))
