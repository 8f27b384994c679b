"""Pictures of lenses: whole PNG files, for odd models and names too."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from learn.modelling.maps.maps import make_maps
from learn.modelling.maps.pictures import draw_lens, make_title
from learn.modelling.tables.row_files import is_made
from learn.modelling.tables.rows import make_row
from tests.learn.modelling.lenses import make_wcs, modelled


def draw(path, model):
    draw_lens(path, make_maps(model), make_row(model), model.data.wcs)
    with Image.open(path) as image:
        image.load()
        return np.asarray(image.convert("RGB"))


def test_a_picture_shows_something_and_carries_the_mark(tmp_path):
    path = tmp_path / "lens.png"
    pixels = draw(path, modelled(("neighbour",)))
    colours = np.unique(pixels.reshape(-1, 3), axis=0)
    assert len(colours) > 500
    assert is_made(path)


def test_the_arrows_to_north_and_east_turn_with_the_sky(tmp_path):
    plain = draw(tmp_path / "a.png", modelled(searched=False))
    turned = draw(tmp_path / "b.png", modelled(searched=False, wcs=make_wcs(angle=90.0)))
    changed = np.any(plain != turned, axis=-1)
    height, width = changed.shape
    assert changed[: height // 2, : width // 3].any()
    changed[: height // 2, : width // 3] = False
    assert not changed.any(), "nothing else"


def test_the_title_gives_the_radius_and_the_flags():
    title, flags = make_title(make_row(modelled(("no lens found", "neighbour"))))
    assert title.startswith("J1234+5678   $\\theta_E$ = ")
    assert "$\\pm$" in title or "\u00b1" in title
    assert flags == "flags: no lens found; neighbour"
    assert make_title(make_row(modelled()))[1] == ""


@pytest.mark.parametrize("name", ["$x_{", "_" + "é" * 100 + "<b>\x1b[31m\udcff"])
def test_a_name_is_no_formula(tmp_path, name):
    draw(tmp_path / "a.png", modelled(("$\\frac{",) * 40, name=name, unit="$e^-"))


def test_odd_models_have_a_picture_too(tmp_path):
    result = modelled().result
    inside = torch.full_like(result.params["theta_E"], 1e-3)
    tiny = dataclasses.replace(result, params=result.params | {"theta_E": inside})
    dark = dataclasses.replace(
        result,
        params=result.params | {"source_amplitude": torch.zeros(1)},
        errors=result.errors | {"theta_E": torch.tensor([torch.inf])},
        chi2_dof=torch.tensor([torch.nan]),
    )
    nowhere = modelled(result=dark, unit="")
    nowhere.maps.least_mass[:] = torch.nan
    for odd in (modelled(result=tiny, searched=False), nowhere):
        draw(tmp_path / "a.png", odd)
