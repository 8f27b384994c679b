"""Groups of unknown masses beside fitted lenses."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

import lensphys as lp
from learn.lens_fits import draws
from learn.lens_fits.draws import Draws, DrawSettings, draw_groups
from lensphys.detection.absorption import Absorption
from tests.learn.lens_fits.mocks import fitted, searched

SETTINGS = DrawSettings(count=40, most=20)


@pytest.fixture(scope="module")
def lenses() -> tuple[Absorption, Tensor]:
    near, response = searched(fitted())
    return near, response.float()


def drawn(
    lenses: tuple[Absorption, Tensor], seeds: tuple[int, ...] = (3, 4), **given: int
) -> Draws:
    near, response = lenses
    return draw_groups(response, near, dataclasses.replace(SETTINGS, **given), seeds)


def test_changes_have_the_length_of_one_sigma(lenses: Any) -> None:
    found = drawn(lenses)
    assert found.change.shape == (2, 40, 32, 32)
    assert found.moments.shape == (2, 40, 5)
    length = found.change.flatten(2).norm(dim=2)
    torch.testing.assert_close(length, torch.ones(2, 40), rtol=1e-5, atol=0)
    assert (found.moments[..., 0] > 0).all()


def test_a_refit_of_everything_would_not_take_the_changes_up(lenses: Any) -> None:
    near, change = lenses[0], drawn(lenses).change
    torch.testing.assert_close(near.leave(change).float(), change, rtol=0, atol=1e-5)
    overlap = (near.rows[:, None].float() * change[:, :, None]).sum((-2, -1))
    assert overlap.abs().max() < 1e-4


def test_one_mass_makes_the_change_of_its_moments(lenses: Any) -> None:
    """It is the first-order change by a point mass, less what the fit absorbs."""
    near, response = lenses
    found = drawn(lenses, most=1)
    mass, squares, x, y, spread = found.moments.unbind(2)
    x, y = x / mass, y / mass
    torch.testing.assert_close(squares, mass**2)
    torch.testing.assert_close(spread / mass, x**2 + y**2, rtol=1e-4, atol=1e-4)
    grid = lp.pixel_grid(32, 1.0)
    for k in range(2):
        # In the next corner of four pixels.
        point = lp.PointMass(theta_E=mass[k].sqrt(), center_x=x[k].round(), center_y=y[k].round())
        alpha = torch.stack(point.deflection(*grid), 1)
        change = (response[k] * alpha).sum(1)
        expected = near.leave(torch.stack([change, change]))[k].float()
        torch.testing.assert_close(found.change[k], expected, rtol=1e-3, atol=1e-4)


def test_moments_are_the_sums_over_the_masses(lenses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, deflect = [], draws._deflection

    def watch(x: Tensor, y: Tensor, *masses: Tensor) -> tuple[Tensor, Tensor]:
        groups.append(masses)
        return deflect(x, y, *masses)

    monkeypatch.setattr(draws, "_deflection", watch)
    found = drawn(lenses)
    numbers = []
    for k, (mass, x, y) in enumerate(groups):
        there = mass > 0
        numbers.append(there.sum(1))
        ratio = mass.amax(1) / torch.where(there, mass, torch.inf).amin(1)
        assert 1 <= ratio.min() <= ratio.max() <= 30.001
        unit = found.moments[k, :, :1] / mass.sum(1, keepdim=True)
        mass = mass * unit
        terms = (mass, mass**2, mass * x, mass * y, mass * (x**2 + y**2))
        expected = torch.stack([term.sum(1) for term in terms], 1)
        torch.testing.assert_close(found.moments[k], expected, rtol=1e-4, atol=1e-5)
    number = torch.cat(numbers)
    assert number.min() == 1
    assert 15 <= number.max() <= 20


def test_a_seed_gives_the_same_draw_whatever_lies_beside_it(lenses: Any) -> None:
    near, response = lenses
    first = drawn(lenses)
    assert torch.equal(drawn(lenses).change, first.change)
    again = draw_groups(
        response.flip(0),
        dataclasses.replace(near, rows=near.rows.flip(0)),
        SETTINGS,
        (4, 3),
    )
    torch.testing.assert_close(again.change.flip(0), first.change, rtol=0, atol=1e-6)
    torch.testing.assert_close(again.moments.flip(0), first.moments)
    assert not torch.allclose(drawn(lenses, (5, 6)).change, first.change, atol=1e-3)


def test_draws_leave_the_random_numbers_of_others_alone(lenses: Any) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    drawn(lenses)
    assert torch.equal(torch.rand(3), expected)


def test_groups_lie_where_the_image_answers() -> None:
    """A place is drawn as often as the image answers there, and never where it does not."""
    strength = torch.tensor([0.0, 1.0, 0.0, 3.0, 6.0, 0.0])
    places = draws._places(strength, torch.rand(40_000))
    often = places.bincount(minlength=6) / len(places)
    assert (often[strength == 0] == 0).all()
    torch.testing.assert_close(often, strength / 10, rtol=0, atol=0.01)
    assert draws._places(strength, torch.tensor([0.0, 1.0])).tolist() == [1, 5]


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-10, 1e5])
def test_all_numbers_are_finite(lenses: Any, scale: float) -> None:
    near, response = lenses
    found = draw_groups(response * scale, near, SETTINGS, (3, 4))
    seen = found.change.flatten(2).norm(dim=2)
    assert found.moments.isfinite().all()
    expected = torch.ones(2, 40) if scale > 1 else torch.zeros(2, 40)
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=0)
    assert (found.moments[..., 0] > 0).all() == (scale > 1)


def test_double_precision_is_taken_and_single_given(lenses: Any) -> None:
    near, response = lenses
    found = draw_groups(response.double(), near, SETTINGS, (3, 4))
    assert found.change.dtype == torch.float32
    length = found.change.flatten(2).norm(dim=2)
    torch.testing.assert_close(length, torch.ones(2, 40), rtol=1e-5, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_another_device_draws_the_same(lenses: Any) -> None:
    near, response = lenses
    there = Absorption(*(getattr(near, f.name).cuda() for f in dataclasses.fields(near)))
    found = draw_groups(response.cuda(), there, SETTINGS, (3, 4))
    expected = drawn(lenses)
    assert found.change.device.type == "cuda"
    torch.testing.assert_close(found.change.cpu(), expected.change, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.moments.cpu(), expected.moments, rtol=1e-3, atol=1e-4)


def test_rectangular_images_of_odd_sides_get_masses_too() -> None:
    near, response = searched(fitted((25, 28)))
    found = draw_groups(response.float(), near, SETTINGS, (3, 4))
    assert found.change.shape == (2, 40, 25, 28)
    length = found.change.flatten(2).norm(dim=2)
    torch.testing.assert_close(length, torch.ones(2, 40), rtol=1e-5, atol=0)
