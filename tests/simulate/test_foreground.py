"""Light in the image plane: lens galaxies, and look-alikes that are no lenses."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lensphys as lp
from lensphys.ground.config import checked, config_folder, read_yaml
from lensphys.ground.errors import InputError
from simulate.instruments import instrument
from simulate.light.components import Components
from simulate.light.foreground import Foreground
from simulate.light.lens_light import LENS_LIGHT_LABELS, LensLightConfig, draw_lens_light
from simulate.light.look_alikes import NON_LENS_KINDS, NonLensConfig, StandsFor
from simulate.light.look_alikes import draw_non_lens as draw_look_alike

VALUES = read_yaml(config_folder("simulate") / "model2.yaml")
LENS_LIGHT = checked(LensLightConfig, VALUES["lens_light"], "model2.yaml")
NON_LENS = checked(NonLensConfig, VALUES["non_lens"], "model2.yaml")
VIS = instrument("euclid_vis")
MASS = {"theta_E": 1.1, "e1": 0.1, "e2": -0.05}
LENS = StandsFor(theta_E=1.1, source_flux=30.0)


def draw_non_lens(config, rng, camera, stands_for=LENS, early_type=LENS_LIGHT):
    return draw_look_alike(config, early_type, rng, camera, stands_for)


def only(kind, **sections):
    fractions = dict.fromkeys(NON_LENS_KINDS, 0.0) | {kind: 1.0}
    return changed(NON_LENS, fractions=fractions, **sections)


def changed(config, **sections):
    values = copy.deepcopy(config.model_dump())
    for name, section in sections.items():
        values[name] = values[name] | section if isinstance(section, dict) else section
    return checked(type(config), values, "test")


def lens_lights(n, config=LENS_LIGHT, **mass):
    rng = np.random.default_rng(5)
    drawn = [draw_lens_light(config, rng, VIS, **(MASS | mass)) for _ in range(n)]
    return Foreground.stack(drawn)


def flux_of(components):
    total = 0.0
    for kind, p in components.profiles:
        if kind == "ring":
            total += p["amp"]
        else:
            total += lp.sersic_total_flux(p["amplitude"], p["R_sersic"], p["n_sersic"])
    return total


def test_a_lens_has_the_flux_of_its_magnitude_and_is_where_its_label_says():
    rng = np.random.default_rng(1)
    one = draw_lens_light(LENS_LIGHT, rng, VIS, **MASS, center_x=0.4)
    assert tuple(one.labels) == LENS_LIGHT_LABELS
    assert flux_of(one) == pytest.approx(VIS.flux(one.labels["lens_light_magnitude"]), rel=1e-12)
    assert one.labels["lens_light_flux"] == pytest.approx(flux_of(one), rel=1e-12)
    (_, p), *_ = one.profiles
    for name in ("R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y"):
        assert p[name] == one.labels[f"lens_light_{name}"]
    assert abs(p["center_x"] - 0.4) < 0.1


def test_light_is_aligned_with_mass_with_the_scatter_of_slacs():
    labels = lens_lights(4000, e1=0.25, e2=0.0).labels
    e1, e2 = labels["lens_light_e1"], labels["lens_light_e2"]
    modulus = torch.hypot(e1, e2)
    angle = torch.rad2deg(0.5 * torch.atan2(e2, e1))
    assert angle.mean().item() == pytest.approx(0, abs=0.6)
    assert angle.std().item() == pytest.approx(10, rel=0.05)
    ratio = 0.6 / ((1 - modulus) / (1 + modulus))
    assert ratio.mean().item() == pytest.approx(0.99, abs=0.01)
    assert ratio.std().item() == pytest.approx(0.11, rel=0.06)


def test_a_round_mass_has_light_that_points_anywhere():
    labels = lens_lights(2000, e1=0.0, e2=0.0).labels
    assert torch.hypot(labels["lens_light_e1"], labels["lens_light_e2"]).max() < 0.3
    for name in ("lens_light_e1", "lens_light_e2"):
        assert labels[name].mean().abs() < 5e-3
        assert labels[name].std().item() == pytest.approx(0.041, rel=0.1)


def test_light_grows_with_the_square_of_the_einstein_radius():
    still = changed(LENS_LIGHT, brightness={"scatter": 0.0}, log10_size_scatter=0.0)
    small, large = (lens_lights(1, still, theta_E=t).labels for t in (0.8, 1.6))
    difference = (small["lens_light_magnitude"] - large["lens_light_magnitude"]).item()
    assert difference == pytest.approx(5 * math.log10(2), rel=1e-12)
    for labels, theta_E in ((small, 0.8), (large, 1.6)):
        assert labels["lens_light_R_sersic"].item() == pytest.approx(theta_E, rel=1e-12)


def test_the_image_of_a_lens_is_that_of_its_sersic():
    light = lens_lights(3)
    x, y = lp.pixel_grid(20, 0.1, dtype=torch.float64)
    table = light.columns["sersic"]
    for i in range(3):
        one = lp.Sersic(**{name: values[i, 0].item() for name, values in table.items()})
        expected = one.surface_brightness(x, y)
        torch.testing.assert_close(light.surface_brightness(x, y)[i], expected, rtol=1e-12, atol=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(NON_LENS_KINDS))
def test_every_non_lens_is_a_finite_image_of_positive_light(seed, kind):
    rng = np.random.default_rng(seed)
    one = draw_non_lens(only(kind), rng, VIS)
    assert one.labels == {"non_lens_kind": NON_LENS_KINDS.index(kind)}
    x, y = VIS.grid()
    image = Foreground.stack([one]).surface_brightness(x, y)[0] * VIS.pixel_scale**2
    assert torch.isfinite(image).all()
    assert image.min() > 0
    # What is missing lies outside of the field, or (a cusp) between the pixel centres.
    assert 0.3 * flux_of(one) < image.sum() < 1.3 * flux_of(one)


def test_kinds_come_in_the_stated_fractions():
    rng = np.random.default_rng(3)
    drawn = [draw_non_lens(NON_LENS, rng, VIS).labels["non_lens_kind"] for _ in range(2000)]
    counts = np.bincount(np.asarray(drawn, int), minlength=5) / 2000
    np.testing.assert_allclose(counts, list(VALUES["non_lens"]["fractions"].values()), atol=0.03)


def test_a_kind_that_is_not_wanted_does_not_occur():
    rng = np.random.default_rng(3)
    assert {draw_non_lens(only("single"), rng, VIS).labels["non_lens_kind"] for _ in range(99)} == {
        0.0
    }


def test_galaxies_of_non_lenses_are_as_large_as_lenses():
    rng = np.random.default_rng(9)
    lights = lens_lights(1500).labels
    singles = [draw_non_lens(only("single"), rng, VIS) for _ in range(1500)]
    radius = np.log10([one.profiles[0][1]["R_sersic"] for one in singles])
    expected = np.log10(lights["lens_light_R_sersic"].numpy())
    assert radius.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert radius.std() == pytest.approx(expected.std(), rel=0.1)


@pytest.mark.parametrize("kind", NON_LENS_KINDS)
def test_every_kind_is_as_bright_as_a_lens_and_its_arcs(kind):
    still = changed(LENS_LIGHT, brightness={"scatter": 0.0})
    of_lens = lens_lights(1, still).labels["lens_light_flux"].item()
    config = only(kind, magnification=[7.0, 7.0])
    drawn = draw_non_lens(config, np.random.default_rng(9), VIS, early_type=still)
    assert flux_of(drawn) == pytest.approx(of_lens + 7 * LENS.source_flux, rel=1e-9)


def test_a_ring_has_the_radius_of_an_einstein_ring():
    rng = np.random.default_rng(2)
    (ring,) = (
        p
        for k, p in draw_non_lens(only("ring"), rng, VIS, StandsFor(1.3, 30.0)).profiles
        if k == "ring"
    )
    assert ring["R_ring"] == 1.3


def test_knots_lie_on_the_ring():
    rng = np.random.default_rng(4)
    config = only("ring", ring={"knots_max": 20, "knots_share": [0.4, 0.4]})
    one = draw_non_lens(config, rng, VIS)
    ring = dict(one.profiles)["ring"]
    knots = [p for kind, p in one.profiles[2:]]
    assert knots
    place = {name: ring[name] for name in ("R_ring", "e1", "e2", "center_x", "center_y")}
    crest = lp.Ring(amp=1.0, sigma=1e-3, **place)
    x, y = (
        torch.tensor([[p[name] for p in knots]], dtype=torch.float64)
        for name in place
        if name.startswith("center")
    )
    brightness = crest.surface_brightness(x, y)
    torch.testing.assert_close(brightness, brightness[:, :1].expand_as(brightness))
    light = [lp.sersic_total_flux(p["amplitude"], p["R_sersic"], 0.5) for p in knots]
    assert sum(light) / (sum(light) + ring["amp"]) == pytest.approx(0.4)


def test_spirals_wind_either_way():
    rng = np.random.default_rng(4)
    pitches = [
        dict(draw_non_lens(only("spiral"), rng, VIS).profiles)["spiral"]["pitch"] for _ in range(60)
    ]
    assert min(pitches) < math.pi / 2 < max(pitches)


def batch(n=12):
    rng = np.random.default_rng(8)
    lights = [draw_lens_light(LENS_LIGHT, rng, VIS, **MASS) for _ in range(n // 2)]
    return lights + [draw_non_lens(NON_LENS, rng, VIS) for _ in range(n - n // 2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_its_images_one_by_one(dtype):
    x, y = lp.pixel_grid((9, 11), 0.3, dtype=dtype)
    drawn = batch()
    together = Foreground.stack(drawn).surface_brightness(x, y)
    assert (together.dtype, together.shape) == (dtype, (12, 9, 11))
    single = torch.cat([Foreground.stack([one]).surface_brightness(x, y) for one in drawn])
    torch.testing.assert_close(together, single, rtol=1e-5, atol=0)


def test_a_batch_of_positions_is_taken_row_by_row():
    x, y = lp.pixel_grid((9, 11), 0.3, dtype=torch.float64)
    light = Foreground.stack(batch())
    many = light.surface_brightness(x.expand(12, -1, -1), y.expand(12, -1, -1))
    torch.testing.assert_close(many, light.surface_brightness(x, y), rtol=1e-12, atol=0)


@pytest.mark.parametrize("rows", [slice(2, 9), torch.tensor([7, 1, 1]), torch.arange(12) % 3 == 0])
def test_selected_rows_are_those_of_the_batch(rows):
    x, y = lp.pixel_grid((9, 11), 0.3, dtype=torch.float64)
    light = Foreground.stack(batch())
    chosen = light.select(rows)
    expected = light.surface_brightness(x, y)[rows]
    assert len(chosen) == len(expected)
    torch.testing.assert_close(chosen.surface_brightness(x, y), expected, rtol=1e-12, atol=0)
    for name, values in light.labels.items():
        torch.testing.assert_close(chosen.labels[name], values[rows], equal_nan=True)


def test_concatenated_batches_are_one_batch():
    drawn = batch()
    parts = [Foreground.stack(drawn[:5]), Foreground.stack(drawn[5:6]), Foreground.stack(drawn[6:])]
    found, expected = Foreground.concatenate(parts), Foreground.stack(drawn)
    assert len(found) == 12
    for kind, table in expected.columns.items():
        for name, values in table.items():
            assert torch.equal(found.columns[kind][name], values)
    for name, values in expected.labels.items():
        torch.testing.assert_close(found.labels[name], values, equal_nan=True, rtol=0, atol=0)


def test_labels_that_do_not_apply_are_nan():
    labels = Foreground.stack(batch()).labels
    assert torch.isnan(labels["non_lens_kind"]).tolist() == [True] * 6 + [False] * 6
    assert torch.isnan(labels["lens_light_e1"]).tolist() == [False] * 6 + [True] * 6


@pytest.mark.parametrize("none", [[], [Components(())], [Components(())] * 3])
def test_images_without_light_are_dark(none):
    light = Foreground.stack(none)
    x, y = lp.pixel_grid(4, 0.3)
    assert light.surface_brightness(x, y).shape == (len(none), 4, 4)
    assert not light.surface_brightness(x, y).any()
    assert len(Foreground.concatenate([light, light])) == 2 * len(none)


def test_a_foreground_is_lens_light_to_the_renderer():
    drawn = [draw_lens_light(LENS_LIGHT, np.random.default_rng(1), VIS, **MASS)]
    light = Foreground.stack(drawn)
    x, y = VIS.grid()
    lens = lp.ThinLens([lp.SIE(theta_E=torch.tensor([1.1]), e1=0.1, e2=-0.05)])
    dark = lp.Gaussian(amp=0.0, sigma=0.1)
    image = lp.render(lens, dark, x, y, psf=VIS.psf(), lens_light=light)
    expected = VIS.psf().convolve(light.surface_brightness(x, y) * VIS.pixel_scale**2)
    torch.testing.assert_close(image, expected)


def test_the_same_generator_draws_the_same():
    first, again = (
        [draw_non_lens(NON_LENS, np.random.default_rng(k), VIS) for k in range(20)]
        for _ in range(2)
    )
    assert first == again


def test_an_instrument_without_zero_point_needs_fluxes():
    camera, rng = instrument("deeplense_model1"), np.random.default_rng(0)
    with pytest.raises(InputError, match=r"^lens_light.brightness.magnitude needs an instrument"):
        draw_lens_light(LENS_LIGHT, rng, camera, **MASS)
    with pytest.raises(InputError, match=r"give lens_light.brightness.flux$"):
        draw_non_lens(NON_LENS, rng, camera)
    flux = {"magnitude": None, "flux": 50.0, "scatter": 0.0}
    light = draw_lens_light(changed(LENS_LIGHT, brightness=flux), rng, camera, **MASS)
    assert math.isnan(light.labels["lens_light_magnitude"])
    assert flux_of(light) == pytest.approx(50 * 1.1**2)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"fractions": {"single": 0.9}}, "fractions: the fractions must sum to 1"),
        ({"magnification": [9, 2]}, "magnification: the first must not be above the second"),
        ({"magnification": [0.0, 6]}, "magnification: both must be positive"),
        ({"ring": {"knots_share": [0.0, 1.2]}}, "ring.knots_share: both must be from 0 to 1"),
        ({"single": {"axis_ratio": [0.05, 1.0]}}, "both must be from 0.1 to 1"),
        ({"spiral": {"pitch": [0.0, 30.0]}}, "spiral: pitch must be from 3 to 90 degrees"),
        ({"blend": {"sep": 1.0}}, "unknown key 'blend.sep'"),
    ],
)
def test_a_bad_section_is_refused_in_one_line(sections, message):
    with pytest.raises(InputError, match=message):
        changed(NON_LENS, **sections)


def test_either_magnitude_or_flux_is_given():
    with pytest.raises(InputError, match="brightness: give either magnitude or flux"):
        changed(LENS_LIGHT, brightness={"flux": 3.0})
