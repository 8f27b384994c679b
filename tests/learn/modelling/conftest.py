"""Lenses in files, and a solver that models them at once."""

import functools
from types import SimpleNamespace

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from learn.modelling.maps.maps import make_maps
from learn.modelling.output import outputs
from learn.modelling.tables.row_files import CREATOR
from tests.learn.modelling.lenses import modelled
from tests.learn.modelling.make_lenses import catalogue, header, slacs


@pytest.fixture
def solver(monkeypatch):
    """Every lens has the same model at once; counts how often it is asked for."""
    calls = SimpleNamespace(names=[], fail={})

    def model_lens(data, settings):
        calls.names.append(data.name)
        if data.name in calls.fail:
            raise calls.fail[data.name]
        return modelled(name=data.name, notes=data.notes, searched=False)

    monkeypatch.setattr("learn.modelling.run.model_lens", model_lens)
    monkeypatch.setattr(outputs, "draw_lens", draw)
    monkeypatch.setattr(outputs, "make_maps", lambda model: _maps())
    return calls


def draw(path, *arguments):
    """A picture of one pixel that is known as one of the command."""
    mark = PngInfo()
    mark.add_text("Software", CREATOR)
    Image.new("L", (1, 1)).save(path, "png", pnginfo=mark)


@functools.cache
def _maps():
    """Those of all lenses: critical curves take their time."""
    return make_maps(modelled(searched=False))


@pytest.fixture
def lenses(tmp_path):
    """A catalogue of three lenses with WCS."""
    rows = []
    for number in (1, 2, 3):
        slacs(tmp_path / f"J{number}", head=header(), seed=number)
        files = ",".join(f"J{number}/{kind}.fits" for kind in ("image", "noise", "psf"))
        rows.append(f"J{number},{files}")
    return catalogue(tmp_path / "lenses.csv", rows)
