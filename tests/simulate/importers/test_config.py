"""Options of an import that contradict each other are refused."""

import pytest

from lensphys.ground.errors import InputError
from tests.simulate.importers.make_files import options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 2, "instrument": "euclid_vis"}, "--model implies an instrument"),
        ({"label_names": ["a", "a"]}, "--label-names must name each class once"),
        ({"label_names": ["a/b"]}, "label_names.0: "),
        ({"pixel_scale": 0.0}, "pixel_scale: "),
        ({"fill": "mean"}, "fill: "),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        options(**changes)


def test_the_identity_is_all_but_the_place(tmp_path):
    assert options(out=tmp_path).identity() == options().identity()
    assert options(size=32).identity() != options().identity()
