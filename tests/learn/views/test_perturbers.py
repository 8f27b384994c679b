"""Unknown masses in an image."""

import math

import pytest
import torch

import lensphys as lp
from learn.views.perturbers import _absorb, _places, draw_perturbers

SETTINGS = {"most": 20, "snr": (5.0, 200.0), "absent": 0.25}


def arcs(count: int = 64, side: int = 32) -> torch.Tensor:
    """The response of rings of several sizes: the slope of their light."""
    x, y = lp.pixel_grid(side, 1.0)
    radius = torch.hypot(x, y)
    ring = torch.linspace(6.0, 10.0, count)[:, None, None]
    light = torch.exp(-(((radius - ring) / 1.5) ** 2))
    slope = -2 * (radius - ring) / 1.5**2 * light
    return 50 * torch.stack([slope * x / radius, slope * y / radius], 1)


def test_the_change_has_the_signal_that_is_stated() -> None:
    group = draw_perturbers(arcs(), **SETTINGS)
    measured = group.change.flatten(1).norm(dim=1)
    torch.testing.assert_close(torch.log1p(measured), group.described[:, 0], rtol=1e-4, atol=1e-4)
    signal = measured[group.present > 0]
    assert 5.0 * 0.999 <= signal.min() <= signal.max() <= 200.0 * 1.001


def test_the_stated_fraction_of_images_is_left_alone() -> None:
    group = draw_perturbers(arcs(800), **SETTINGS)
    assert group.present.mean().item() == pytest.approx(0.75, abs=0.05)
    assert (group.change[group.present == 0] == 0).all()


def test_nothing_changes_where_nothing_answers() -> None:
    """A mass in the dark deflects no light."""
    response = arcs()
    change = draw_perturbers(response, **SETTINGS).change[:, 0]
    dark = response.pow(2).sum(1).sqrt() < 1e-3
    assert change[dark].abs().max() < 1e-3 * change.abs().max()
    assert not draw_perturbers(torch.zeros(4, 2, 16, 16), **SETTINGS).present.any()


def test_a_refit_of_the_smooth_lens_would_not_take_the_change_up() -> None:
    """It is orthogonal to what shifts, shear and a larger ring do to the image."""
    response = arcs()
    change = draw_perturbers(response, **SETTINGS | {"absent": 0.0}).change[:, 0]
    x, y = lp.pixel_grid(32, 1.0)
    radius = torch.hypot(x, y).clamp_min(0.5)
    fields = {"shift": (1.0, 0.0), "shear": (y, x), "ring": (x / radius, y / radius)}
    for name, (along, up) in fields.items():
        smooth = response[:, 0] * along + response[:, 1] * up
        overlap = (smooth * change).sum((1, 2)) / (
            smooth.flatten(1).norm(dim=1) * change.flatten(1).norm(dim=1)
        )
        assert overlap.abs().max() < 2e-3, name


@pytest.mark.parametrize("shape", [(32, 32), (15, 20)])
def test_a_refit_absorbs_a_least_squares_fit(shape: tuple[int, int]) -> None:
    """It agrees with an orthogonal decomposition over the images of the seven fields."""
    response, change = torch.randn(5, 2, *shape).double(), torch.randn(5, *shape).double()
    x, y = lp.pixel_grid(shape, 1.0, dtype=torch.float64)
    radius, one, none = torch.hypot(x, y).clamp_min(0.5), torch.ones_like(x), torch.zeros_like(x)
    along = torch.stack([one, none, x, none, y, none, x / radius])
    up = torch.stack([none, one, none, x, none, y, y / radius])
    maps = (response[:, :1] * along + response[:, 1:] * up).flatten(2).mT
    weights = torch.linalg.lstsq(maps, change.flatten(1)[..., None]).solution
    expected = (maps @ weights)[..., 0].view_as(change)
    torch.testing.assert_close(_absorb(change, response), expected, rtol=0, atol=1e-4)
    single = _absorb(change.float(), response.float())
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-4)


def test_groups_lie_where_the_image_answers() -> None:
    """A place is drawn as often as the image answers there, and never where it does not."""
    strength = torch.tensor([0.0, 1.0, 0.0, 3.0, 6.0, 0.0])
    places = _places(strength.expand(40_000, 6))
    often = places.bincount(minlength=6) / len(places)
    assert (often[strength == 0] == 0).all()
    torch.testing.assert_close(often, strength / 10, rtol=0, atol=0.01)


def test_one_mass_counts_as_one_and_many_as_many() -> None:
    lone = draw_perturbers(arcs(), **SETTINGS | {"most": 1})
    torch.testing.assert_close(lone.described[:, 1], torch.zeros(64), atol=1e-5, rtol=0)
    torch.testing.assert_close(lone.described[:, 2], torch.full((64,), math.log(0.5)))
    number = draw_perturbers(arcs(400), **SETTINGS).described[:, 1].exp()
    assert 1.0 <= number.min() <= 1.5
    assert 8.0 < number.max() <= 20.0


def test_the_seed_decides() -> None:
    torch.manual_seed(3)
    first = draw_perturbers(arcs(), **SETTINGS)
    torch.manual_seed(3)
    again = draw_perturbers(arcs(), **SETTINGS)
    assert torch.equal(first.change, again.change)
    assert torch.equal(first.described, again.described)


@pytest.mark.parametrize("side", [15, 16])
def test_all_numbers_are_finite(side: int) -> None:
    response = torch.randn(200, 2, side, side) * torch.logspace(-20, 5, 200)[:, None, None, None]
    group = draw_perturbers(response, **SETTINGS)
    for values in (group.change, group.present, group.described):
        assert torch.isfinite(values).all()
