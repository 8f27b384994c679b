"""Volume of amplitudes, beside dense determinants and finite differences."""

import pytest
import torch

from lensphys.fitting.linear.amplitudes import solve_amplitudes
from lensphys.fitting.linear.columns import Columns
from lensphys.fitting.linear.occam import Occam
from tests.lensphys.fitting.linear.scenes import SCALE, params_of, pixels_of, scene_of

STRENGTH = torch.tensor([2e-3, 5e-3], dtype=torch.float64)


def measure(scene, params, images, weight, pixels):
    columns = Columns.collect(scene.evaluate(params, pixels), images, weight, SCALE**2)
    precision = torch.zeros(2, scene.count, dtype=torch.float64)
    solution = solve_amplitudes(
        columns.normal, columns.projection, STRENGTH, scene.roughness, precision, scene.positive
    )
    return Occam.measure(columns, solution, scene.positive), columns, solution


@pytest.fixture(params=[None, "one ellipse"], ids=["dark", "lit"])
def made(request):
    pixels = pixels_of()
    scene = scene_of(pixels, "shapelets", request.param, 0)
    generator = torch.Generator().manual_seed(4)
    images = 1 + torch.rand(2, *pixels.shape, generator=generator, dtype=torch.float64)
    return scene, params_of(scene.names), images, 30 * torch.ones_like(images), pixels


def test_the_log_determinant_is_that_of_the_free_amplitudes_given_the_others(made):
    scene = made[0]
    occam, columns, solution = measure(*made)
    for row in range(2):
        active = solution.active[row]
        held = active & scene.positive
        total = columns.normal[row] + STRENGTH[row] * scene.roughness
        right = torch.linalg.slogdet(total[active][:, active])[1]
        if held.any():
            right = right - torch.linalg.slogdet(columns.normal[row][held][:, held])[1]
        assert occam.log_det[row].item() == pytest.approx(right.item(), rel=1e-5, abs=1e-4)


def test_its_derivatives_are_finite_differences(made):
    scene, params, images, weight, pixels = made
    occam, _, solution = measure(*made)
    step, slopes = 1e-5, occam.differentiate()
    for name in ("theta_E", "source_center_x", "source_beta"):
        ends = []
        for sign in (1, -1):
            moved = params | {name: params[name] + sign * step}
            end, _, active = measure(scene, moved, images, weight, pixels)
            assert torch.equal(active.active, solution.active)
            ends.append(end.log_det)
        right = 0.25 * (ends[0] - ends[1]) / step
        torch.testing.assert_close(slopes[name], right, rtol=1e-3, atol=1e-2)
