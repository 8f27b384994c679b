"""Pages of sliders for the tests."""

from collections.abc import Callable
from typing import Any

import pytest

from learn.explore.settings import ExploreSettings
from lensphys.ground.config import load_config, shipped_config


@pytest.fixture(scope="session")
def settings_of() -> Callable[..., ExploreSettings]:
    """The shipped settings with changes, and 24 pixels a side."""

    def make(**changes: Any) -> ExploreSettings:
        shipped = shipped_config("explore", "explore", "command")
        return load_config(ExploreSettings, shipped, (), **{"size": 24, **changes})

    return make
