"""Rows of several starting points."""

import torch

from lensphys.fitting.linear.rows import Leaders, choose_rows, read_values
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


def test_leaders_keep_the_better_of_two_fits_image_by_image():
    pixels = pixels_of()
    scene = scene_of(pixels, "sersic source", None, None)
    at = scene.names.index("theta_E")
    fits = []
    for off in (0, 1):  # image whose Einstein radius is far off
        problem, z = problem_of(scene, pixels)
        z[off, at] -= 1.5
        problem.strength.fill_(1.0 + off)
        fits.append((problem, begin(problem, z, torch.arange(2))))
    first = read_values(*fits[0], {})
    leaders = Leaders.begin({k: torch.zeros_like(v) for k, v in first[0].items()}, first[1])
    for problem, state in fits:
        leaders.offer(problem, state, torch.arange(2))
    right = read_values(*fits[1], {})[0]["theta_E"][0], first[0]["theta_E"][1]
    assert torch.equal(leaders.values["theta_E"], torch.stack(right))
    assert leaders.strength.tolist() == [2.0, 1.0]
    # A fit of the second image alone is no better than itself.
    before = leaders.score.clone()
    problem, state = fits[0]
    leaders.offer(problem, state.take(torch.tensor([1])), torch.tensor([1]))
    assert torch.equal(leaders.score, before)
