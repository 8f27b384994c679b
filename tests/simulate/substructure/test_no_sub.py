"""The smooth class has no substructure."""

import pytest

from simulate.presets import known_presets, make_prior
from simulate.substructure.no_sub import NO_SUB


@pytest.mark.parametrize("preset", known_presets())
def test_no_sub_has_no_masses(configure, preset):
    assert NO_SUB.drawn_in(preset) is None
    scene = make_prior(configure(2, preset=preset, classes=["no_sub"])).draw(0, 3)
    assert scene.substructure == ()
    for name in ("substructure_mass", "n_substructure"):
        assert not scene.params[name].any()
