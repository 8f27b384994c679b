"""A registry names classes that are imported when one is asked for."""

import collections
import sys

import pytest

from lensphys.ground.errors import InputError
from lensphys.ground.registry import find

KNOWN = {"ordered": "collections:OrderedDict", "absent": "lensphys.no_such_module:Thing"}


def test_a_name_gives_its_class():
    assert find(KNOWN, "ordered", "kind") is collections.OrderedDict


def test_the_others_are_not_imported():
    find(KNOWN, "ordered", "kind")
    assert "lensphys.no_such_module" not in sys.modules


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown kind 'orderd' \(did you mean 'ordered'\?\)"):
        find(KNOWN, "orderd", "kind")
