"""The envelope of a lens: part of its light, turned against the bulge."""

import numpy as np
import pytest

from simulate.light.envelope import ENVELOPE_LABELS, EnvelopeConfig, add_envelope
from simulate.light.lens_light import draw_lens_light
from tests.simulate.light.draws import LENS_LIGHT, MASS, VIS, flux_of

CONFIG = EnvelopeConfig(share=(0.1, 0.5), size=(1.5, 3.0), axis_ratio=(0.5, 0.9), twist=15.0)


def galaxies(n, config=CONFIG):
    rng = np.random.default_rng(2)
    return [
        add_envelope(config, rng, draw_lens_light(LENS_LIGHT, rng, VIS, **MASS)) for _ in range(n)
    ]


def test_bulge_and_disc_share_the_light_of_the_galaxy():
    for galaxy in galaxies(5):
        assert flux_of(galaxy) == pytest.approx(galaxy.labels["lens_light_flux"], rel=1e-12)
        (_, bulge), (_, disc) = galaxy.profiles
        assert disc["n_sersic"] == 1
        assert 1.5 <= disc["R_sersic"] / bulge["R_sersic"] <= 3
        assert (disc["center_x"], disc["center_y"]) == (bulge["center_x"], bulge["center_y"])
        assert set(ENVELOPE_LABELS) < galaxy.labels.keys()


def test_isophotes_turn_from_the_bulge_to_the_disc():
    def angle(p):
        return 0.5 * np.arctan2(p["e2"], p["e1"])

    twists = [
        angle(disc) - angle(bulge) for (_, bulge), (_, disc) in (g.profiles for g in galaxies(300))
    ]
    twists = np.degrees((np.array(twists) + np.pi / 2) % np.pi - np.pi / 2)
    assert twists.std() == pytest.approx(15, rel=0.15)
    assert abs(twists.mean()) < 3
