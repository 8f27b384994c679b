"""Classes are found by name."""

import pytest

from simulate.presets import known_presets, load_simulate_config
from simulate.substructure import known_classes, substructure


@pytest.mark.parametrize("preset", known_presets())
def test_every_class_has_its_draw(preset):
    way = load_simulate_config(2, preset).drawn_as
    assert set(known_classes()) == {"no_sub", "cdm", "axion"}
    drawn = {name for name in known_classes() if substructure(name).drawn_in(way)}
    assert drawn == {"cdm", "axion"}
