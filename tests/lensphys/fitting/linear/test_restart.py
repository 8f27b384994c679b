"""Second starts of fits."""

import torch

import lensphys as lp
from lensphys.fitting.linear.restart import align_mass
from lensphys.fitting.optimiser import begin
from tests.lensphys.fitting.linear.scenes import pixels_of, problem_of, scene_of

MASS = ("theta_E", "e1", "e2", "center_x", "center_y")
PRIORS = {"e1": (0.05, 0.1), "e2": (-0.1, 0.1), "center_x": (0.02, 0.05)}


def test_the_mass_is_where_priors_have_it_and_the_source_follows():
    pixels = pixels_of()
    problem, z = problem_of(scene_of(pixels), pixels, priors=PRIORS)
    state = begin(problem, z, torch.arange(2))
    values = align_mass(problem, state)
    for name, (mean, _) in PRIORS.items():
        assert torch.equal(values[name], torch.full((2,), mean, dtype=torch.float64))
    for name in ("gamma1", "gamma2"):
        assert not values[name].any()
    before = problem.scene.named(problem.bounds.forward(state.z, state.index)[0])
    for name in ("theta_E", "center_y", "source_beta", "lens_light_e1"):
        assert torch.equal(values[name], before[name])

    weight = problem.split_light(state.z, state.index)[1].clamp_min(0).square()
    x, y = pixels.centers
    for k in range(2):
        lens = lp.ThinLens([lp.SIE(**{name: values[name][k] for name in MASS})])
        places = lens.ray_trace(x, y)
        for name, place in zip(("source_center_x", "source_center_y"), places, strict=True):
            right = (weight[k] * place).sum() / weight[k].sum()
            torch.testing.assert_close(values[name][k], right)


def test_fixed_parameters_of_the_mass_stay():
    pixels = pixels_of()
    fixed = {"e1": 0.2, "gamma1": 0.03}
    problem, z = problem_of(scene_of(pixels), pixels, fixed=fixed, priors=PRIORS)
    values = align_mass(problem, begin(problem, z, torch.arange(2)))
    for name, value in {**fixed, "e2": -0.1, "gamma2": 0.0}.items():
        assert torch.equal(values[name], torch.full((2,), value, dtype=torch.float64))
