"""Look-alikes are as bright and as large as lenses, and are none."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lensphys as lp
from simulate.light.envelope import EnvelopeConfig
from simulate.light.foreground import Foreground
from simulate.light.look_alikes import NON_LENS_KINDS, StandsFor
from tests.simulate.light.draws import (
    LENS,
    LENS_LIGHT,
    NON_LENS,
    VALUES,
    VIS,
    changed,
    draw_non_lens,
    flux_of,
    lens_lights,
    only,
)


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


@pytest.mark.parametrize("kind", NON_LENS_KINDS)
def test_early_types_have_the_envelopes_of_lenses(kind):
    """Half of the light of each moves into a disc; galaxies that are discs stay as they are."""
    envelope = EnvelopeConfig(share=(0.5, 0.5), size=(2.0, 2.0), axis_ratio=(0.7, 0.7), twist=15)
    split = []
    for seed in range(20):
        without, found = (
            draw_non_lens(only(kind), np.random.default_rng(seed), VIS, envelope=one)
            for one in (None, envelope)
        )
        assert flux_of(found) == pytest.approx(flux_of(without), rel=1e-9)
        split.append(len(found.profiles) > len(without.profiles))
        if split[-1]:
            (_, bulge), (_, disc) = found.profiles[:2]
            assert without.profiles[0][1]["n_sersic"] > 1
            assert disc["R_sersic"] == pytest.approx(2 * bulge["R_sersic"])
            assert found.profiles[2:] == without.profiles[1:]
        else:
            assert found.profiles == without.profiles
    discs = VALUES["non_lens"]["single"]["disc_fraction"]
    expected = {"ring": 20, "single": 20 * (1 - discs), "blend": 20 * (1 - discs)}.get(kind, 0)
    assert sum(split) == pytest.approx(expected, abs=6 if 0 < expected < 20 else 0)


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
