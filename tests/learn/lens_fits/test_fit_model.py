"""The kind of model that a data set is fitted with."""

from typing import Any

import pytest

from learn.lens_fits.fit_model import FitModel
from simulate.presets import load_simulate_config
from tests.learn.conftest import WHOLE_FIT


@pytest.mark.parametrize(
    ("data", "lens_light", "shapelets"),
    [
        ({}, False, False),
        ({"lens_light": {"enabled": False}, "non_lens": {"fraction": 0.0}}, False, False),
        ({"lens_light": {"enabled": True}}, True, False),
        ({"non_lens": {"fraction": 0.2}}, True, False),
        ({"source": {"structure": {"arms": 2}}}, False, True),
        ({"galaxies": {"path": "galaxies.h5"}}, False, True),
        ({"galaxies": {"path": None}, "source": {"structure": None}}, False, False),
        ({"galaxies": {"path": "a"}, "lens_light": {"enabled": True}}, True, True),
        ({"command": "import", "source": "cutouts"}, False, False),
    ],
)
def test_the_model_follows_from_what_was_simulated(
    data: dict[str, Any], lens_light: bool, shapelets: bool
) -> None:
    assert FitModel.of(data, WHOLE_FIT) == FitModel(lens_light, shapelets)


@pytest.mark.parametrize(("source", "shapelets"), [("sersic", False), ("shapelets", True)])
def test_a_source_that_is_asked_for_is_fitted(source: str, shapelets: bool) -> None:
    config = WHOLE_FIT.model_copy(update={"source": source})
    for data in ({}, {"source": {"structure": {"arms": 2}}}):
        assert FitModel.of(data, config).shapelets is shapelets


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("published", FitModel(False, False)),
        ("physical", FitModel(False, False)),
        ("realistic", FitModel(True, True)),
    ],
)
def test_presets_are_fitted_with_the_model_that_they_need(preset: str, expected: FitModel) -> None:
    data = load_simulate_config(3, preset).model_dump(mode="json")
    assert FitModel.of(data, WHOLE_FIT) == expected
