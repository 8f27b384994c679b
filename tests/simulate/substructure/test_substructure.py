"""Classes are found by name."""

import pytest

from simulate.presets import known_presets
from simulate.substructure import known_classes, substructure


@pytest.mark.parametrize("preset", known_presets())
def test_every_class_has_its_draw(preset):
    assert set(known_classes()) == {"no_sub", "cdm", "axion"}
    drawn = {name for name in known_classes() if substructure(name).drawn_in(preset)}
    assert drawn == {"cdm", "axion"}
