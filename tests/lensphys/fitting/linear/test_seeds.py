"""Starting points: radius of the arcs, and sources whose images would be there."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.seeds import RADII, SOURCES, list_radii, list_seeds, measure_arcs
from tests.lensphys.fitting.linear.lenses import SCALE, SIGMA, TRUTH, make_image


@pytest.fixture(scope="module")
def arcs():
    images = make_image(shining=False)[None]
    x, y = lp.pixel_grid(32, SCALE, dtype=torch.float64)
    return images, torch.full_like(images, 1 / SIGMA), x, y


def test_arcs_are_just_outside_the_einstein_radius(arcs):
    assert 0.9 < measure_arcs(*arcs).item() < 1.4


def test_the_radius_of_a_ring_is_its_radius():
    x, y = lp.pixel_grid(64, 0.05, dtype=torch.float64)
    for radius in (0.6, 1.2):
        ring = torch.exp(-0.5 * ((torch.hypot(x, y) - radius) / 0.05) ** 2)[None]
        found = measure_arcs(ring, torch.full_like(ring, 100.0), x, y)
        assert found.item() == pytest.approx(radius, abs=0.1)


def test_without_arcs_the_radius_is_usual(arcs):
    _, weight, x, y = arcs
    found = measure_arcs(torch.zeros_like(weight), weight, x, y)
    assert found.item() == pytest.approx(0.4 * torch.hypot(x, y).max().item())


def test_radii_reach_beyond_those_of_the_arcs():
    radii = list_radii(torch.tensor([1.0, 2.0]))
    assert radii.shape == (2, RADII)
    assert radii[0, 0].item() == pytest.approx(0.4)
    assert radii[0, -1].item() == pytest.approx(1.05)
    assert (radii.diff(dim=1) > 0).all()
    torch.testing.assert_close(radii[1], 2 * radii[0])


def test_a_source_is_sought_where_its_images_are(arcs):
    images, weight, x, y = arcs
    e1, e2 = (torch.tensor([TRUTH[name] / 0.8]).double() for name in ("e1", "e2"))
    radii = torch.tensor([[0.6, 1.0]], dtype=torch.float64)
    found = list_seeds(images, weight, x, y, e1, e2, radii)
    assert {value.shape for value in found.values()} == {(1, 2 * SOURCES)}
    assert found["theta_E"][0].tolist() == [0.6, 0.6, 1.0, 1.0]
    assert found["e1"][0].tolist() == pytest.approx([TRUTH["e1"]] * 4)
    place = torch.stack([found["source_center_x"], found["source_center_y"]])[:, 0]
    # The source is at 0.08, 0.05; the shear moves what is traced back by 0.03.
    assert (place[:, 2] - torch.tensor([0.08, 0.05])).norm() < 0.1
    # Two sources are apart.
    assert (place[:, 2] - place[:, 3]).norm() > 0.16


def test_sources_scale_with_the_image(arcs):
    images, weight, x, y = arcs
    zero, radii = torch.zeros(1).double(), torch.tensor([[1.0]]).double()
    found = list_seeds(images, weight, x, y, zero, zero, radii)
    wide = list_seeds(images, weight, 2 * x, 2 * y, zero, zero, 2 * radii)
    for name in ("source_center_x", "source_center_y"):
        torch.testing.assert_close(wide[name], 2 * found[name])
