"""Rows of several starting points."""

import torch

from lensphys.fitting.linear.rows import choose_rows, read_values
from lensphys.fitting.optimiser import begin
from tests.lensphys.fitting.linear.scenes import pixels_of, problem_of, scene_of


def test_the_best_row_of_every_image_is_chosen_with_its_values():
    pixels = pixels_of()
    scene = scene_of(pixels, "sersic source", None, None)
    owner = torch.tensor([0, 0, 1, 1])
    problem, z = problem_of(scene, pixels, owner=owner)
    # One Einstein radius of each image is far off.
    z[[0, 3], scene.names.index("theta_E")] -= 1.5
    state = begin(problem, z, torch.arange(4))
    best = choose_rows(problem, state, 2)
    assert best.tolist() == [1, 2]
    values, strength = read_values(problem, state.take(best), {"other": torch.tensor([5.0, 6.0])})
    params, _ = problem.bounds.forward(z[best], best)
    assert torch.equal(values["theta_E"], params[:, scene.names.index("theta_E")])
    assert values["other"].tolist() == [5.0, 6.0]
    assert torch.equal(strength, problem.strength[best])
