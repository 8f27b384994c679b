"""Cold start: from images alone to a few candidates."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.cold_start import search, stack_points
from lensphys.rendering import Pixels
from tests.lensphys.fitting.linear.lenses import PSF, SCALE, SIGMA, make_image
from tests.lensphys.fitting.linear.scenes import scene_of


@pytest.fixture(scope="module")
def pixels():
    x, y = lp.pixel_grid(32, SCALE, dtype=torch.float64)
    return Pixels(x, y, psf=PSF)


@pytest.fixture(scope="module")
def found(pixels):
    images = torch.stack([make_image(), make_image(seed=1, offset=(0.1, 0.05))])
    return search(images, torch.full_like(images, 1 / SIGMA), pixels, lens_light=True)


def test_one_of_the_candidates_is_near_the_truth(found):
    off = (found.params["theta_E"] - 1.0).abs()
    assert (off.amin(1) < 0.03).all()
    nearest = off[1].argmin()
    assert found.params["center_x"][1, nearest].sub(0.1).abs() < 0.1


def test_candidates_come_with_what_led_to_them(found):
    batch, count = found.strength.shape
    assert batch == 2
    assert count >= 2
    assert {value.shape for value in found.params.values()} == {(batch, count)}
    assert (found.arc_radius > 0.9).all()
    assert (found.arc_radius < 1.5).all()
    assert {*found.shape} == {"e1", "e2", "center_x", "center_y"}
    assert found.weight.shape == (2, 32, 32)
    assert (found.weight <= 1 / SIGMA).all()
    assert (found.strength > 0).all()


def test_candidates_of_groups_join(found):
    twice = type(found).join([found, found])
    assert twice.arc_radius.shape == (4,)
    assert twice.params["theta_E"].shape[0] == 4
    assert (twice.params["theta_E"][2:] == found.params["theta_E"]).all()


def test_what_is_fixed_or_given_to_start_from_is_kept(pixels):
    images = make_image(shining=False)[None]
    weight = torch.full_like(images, 1 / SIGMA)
    fixed, start = {"gamma1": torch.tensor([0.03]).double()}, {"theta_E": torch.tensor([0.97])}
    start = {name: value.double() for name, value in start.items()}
    found = search(images, weight, pixels, lens_light=False, start=start, fixed=fixed)
    torch.testing.assert_close(found.params["gamma1"], torch.full_like(found.strength, 0.03))
    assert (found.params["theta_E"] - 1.0).abs().amin() < 0.03
    assert found.shape is None
    assert not any(name.startswith("lens_light") for name in found.params)


def test_points_are_stacked_in_the_order_of_a_scene(pixels):
    scene = scene_of(pixels, "shapelets", None, None)
    values = stack_points(scene, {"theta_E": torch.ones(3), "other": torch.ones(3)})
    assert values.shape == (3, len(scene.names))
    assert values[0, scene.names.index("theta_E")] == 1
    assert values.sum() == 3
