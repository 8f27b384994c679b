"""The part of a change that fits absorb, and the step that they still have to take."""

import pytest
import torch

from lensphys import fit
from lensphys.detection.absorption import linearise
from lensphys.products import product
from tests.lensphys.detection.brute import changes, linearised
from tests.lensphys.fitting.mocks import PIXEL, draw, image_of, noise_like, nudged

SHAPE = (20, 22)
PRIORS = {"theta_E": (0.9, 0.004), "source_e1": (0.0, 0.02)}
CASES = {
    "no prior": {},
    "priors": {"priors": PRIORS},
    "fixed parameters": {"fixed": {"center_x": 0.0, "source_n_sersic": 1.0}},
    "regularised": {"source": "shapelets", "source_order": 4, "start": None, "n_starts": 1},
    "float32": {"dtype": torch.float32, "priors": PRIORS},
}


def fitted(dtype=torch.float64, **settings):
    """Two lenses with noise, fitted from the truth."""
    truth = draw(2, seed=5)
    clean = image_of(truth, SHAPE, psf=None)
    sigma = (clean.amax((1, 2)) / 40)[:, None, None].expand(clean.shape).clone()
    images = clean + sigma * noise_like(clean, 6)
    settings = {"start": truth, "pixel_scale": PIXEL} | settings
    return fit(images.to(dtype), sigma.to(dtype), **settings)


def near(result):
    table = torch.stack([result.params[name] for name in result.names], -1).detach()
    index = torch.arange(len(table))
    return linearise(result.problem, result.problem.bounds.inverse(table, index), index)


def random_changes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, *SHAPE, generator=generator, dtype=torch.float64)


def least_squares(jacobian, precision, target, pull=None):
    """Change (pixels, n) of a model by least squares, with the root of its priors as more rows."""
    values, axes = torch.linalg.eigh(precision)
    root = values.clamp_min(0).sqrt()[:, None] * axes.mT
    rows = torch.cat([jacobian.mT, root])
    unit = rows.norm(dim=0)
    unit = torch.where(unit > 0, unit, 1.0)
    nothing = target.new_zeros(len(root), target.shape[1])
    whole = torch.cat([target, nothing])
    steps = torch.linalg.lstsq(rows / unit, whole, driver="gelsd").solution / unit[:, None]
    return product(jacobian.mT, steps)


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_a_fit_absorbs_what_least_squares_with_its_priors_would(settings):
    result, given = fitted(**settings), random_changes(3)
    found = near(result)
    left = found.leave(given)
    assert left.dtype == torch.float64
    for k in range(2):
        jacobian, precision, *_ = linearised(result, k)
        target = given[k].flatten(1).mT
        expected = least_squares(jacobian, precision, target).mT.view_as(given[k])
        torch.testing.assert_close(given[k] - left[k], expected, rtol=1e-5, atol=1e-5)


def test_without_priors_what_is_left_is_orthogonal_to_every_parameter():
    result, given = fitted(), random_changes(3)
    found = near(result)
    left = found.leave(given)
    for k in range(2):
        jacobian = linearised(result, k)[0]
        unit = jacobian / jacobian.norm(dim=1, keepdim=True)
        assert product(unit, left[k].flatten(1).mT).abs().max() < 1e-6
    torch.testing.assert_close(found.leave(left), left, rtol=0, atol=1e-9)
    # As many directions are absorbed as there are parameters.
    taken = found.rows.square().sum((1, 2, 3))
    torch.testing.assert_close(taken, taken.new_full((2,), len(result.names)), rtol=1e-6, atol=0)


def test_a_prior_absorbs_less():
    """Of the change with a parameter that its prior holds, nearly all is left."""
    free, held = (near(fitted(**s)) for s in ({}, {"priors": {"theta_E": (0.9, 1e-7)}}))
    assert (held.rows.square().sum((1, 2, 3)) < free.rows.square().sum((1, 2, 3)) - 0.9).all()


def test_at_the_best_fit_no_step_is_due():
    found = near(fitted())
    assert (found.due - found.residual).flatten(1).norm(dim=1).max() < 0.02, "sigma"


@pytest.mark.parametrize("known", [False, True], ids=["no prior", "priors"])
def test_near_the_best_fit_the_residual_that_is_due_is_that_of_the_best_fit(known):
    """To second order in the distance, where the residual is noise."""
    settings = {"priors": {"theta_E": (draw(2, seed=5)["theta_E"] + 0.003, 0.004)}} if known else {}
    best = fitted(**settings)
    start = nudged({name: value.detach() for name, value in best.params.items()}, 1e-3)
    away = near(fitted(**settings | {"start": start, "max_steps": 0}))
    wanted = near(best).residual
    before = (away.residual - wanted).flatten(1).norm(dim=1)
    after = (away.due - wanted).flatten(1).norm(dim=1)
    assert before.min() > 1.0, "sigma"
    assert (after < 0.05 * before).all()


def test_slopes_and_weights_give_the_change_with_a_deflection():
    result = fitted()
    found, perturber = near(result), _Shift()
    expected = changes(result, 1, perturber, [0])[0].view(SHAPE)
    torch.testing.assert_close(found.slopes[1, 0] * found.weight[1] * PIXEL**2, expected)


class _Shift:
    """A deflection by 1 arcsec along x, everywhere."""

    def deflection(self, x, y):
        return torch.ones_like(x), torch.zeros_like(y)


def test_a_model_that_is_not_finite_is_nan_and_spoils_no_other(monkeypatch):
    result, given = fitted(), random_changes(1)
    expected, whole = near(result), result.problem.linearise

    def spoiled(*rows):
        found = whole(*rows)
        found.jacobian[0, 2, 5, 7] = torch.inf
        return found

    monkeypatch.setattr(result.problem, "linearise", spoiled)
    found = near(result)
    assert found.rows[0].isnan().all()
    assert found.leave(given)[0].isnan().all()
    assert found.due[0].isnan().all()
    assert torch.equal(found.rows[1], expected.rows[1])
    assert torch.equal(found.due[1], expected.due[1])


def test_an_image_of_no_weight_absorbs_nothing():
    result, given = fitted(), random_changes(2)
    result.problem.weight[0] = 0.0
    assert torch.equal(near(result).leave(given)[0], given[0])
