"""Settings of the page of sliders."""

from collections.abc import Callable

import pytest

from learn.explore.settings import ExploreSettings
from lensphys.ground.errors import InputError


def test_a_source_lies_behind_its_lens(settings_of: Callable[..., ExploreSettings]) -> None:
    assert settings_of().open_browser
    with pytest.raises(InputError, match="z_source must be above z_lens"):
        settings_of(z_source=0.4)
