"""What is usual among the lenses of a data set."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from learn.lens_fits.parameters import NAMES, Fit
from learn.lens_fits.population import Population
from learn.views.symmetries import turned_fit

#: One lens, with a source that may be anywhere.
USUAL = {"theta_E": 1.2, "gamma": 2.0, "e1": 0.1, "gamma1": 0.05, "source_amplitude": 20.0}
USUAL |= {"source_R_sersic": 0.25, "source_n_sersic": 1.0, "source_e1": -0.1, "source_e2": 0.1}


@dataclasses.dataclass(frozen=True)
class Sky:
    """Fits of one lens, and what was done to it in each image."""

    fit: Fit
    odd: Tensor


def sky(count: int, odd_fraction: float = 0.0, seed: int = 0) -> Sky:
    """Fits with correlated errors of about 0.01; some of lenses that are larger and turned."""
    random = np.random.default_rng(seed)
    size = len(NAMES)
    odd = random.uniform(size=count) < odd_fraction
    truth = np.tile([USUAL.get(name, 0.0) for name in NAMES], (count, 1))
    truth[:, NAMES.index("theta_E")] += odd * random.uniform(0.05, 0.3, count)
    truth[:, NAMES.index("e2")] += odd * random.uniform(-0.1, 0.1, count)
    for axis in "xy":
        truth[:, NAMES.index(f"source_center_{axis}")] = random.uniform(-0.35, 0.35, count)
    half = 0.01 * random.standard_normal((count, size, size)) / np.sqrt(size)
    covariance = half @ half.transpose(0, 2, 1) + 1e-6 * np.eye(size)
    noise = (np.linalg.cholesky(covariance) @ random.standard_normal((count, size, 1)))[..., 0]
    fit = Fit.of(NAMES, truth + noise, covariance, np.ones(count), np.ones(count, bool))
    return Sky(fit, torch.from_numpy(odd))


def learnt(fit: Fit) -> Population:
    population = Population()
    population.learn(fit)
    return population


def deviations(population: Population, fit: Fit) -> Tensor:
    compared = population.compared(fit)
    assert compared.deviation is not None
    return torch.stack([compared.deviation[name] for name in NAMES], 1)


def test_fits_of_one_lens_deviate_by_their_errors() -> None:
    fit = sky(600).fit
    population = learnt(fit)
    wide = {"source_center_x", "source_center_y"}
    tight = [i for i, name in enumerate(NAMES) if name not in wide]
    scatter = population.scatter.diagonal().sqrt()
    for name in wide:
        assert 0.1 < scatter[NAMES.index(name)] < 0.35, "arcsec; uniform in 0.7"
    assert scatter[tight].max() < 0.03, "errors of log R_sersic are 0.04"
    theta_E = population.mean[NAMES.index("theta_E")].exp()
    assert theta_E.item() == pytest.approx(1.2, abs=0.002)
    found = deviations(population, fit)[:, tight]
    assert 0.7 < found.std() < 1.1


def test_a_majority_of_other_lenses_does_not_hide_the_usual_one() -> None:
    """Two thirds have substructure; the third without says what the lens is."""
    made = sky(900, odd_fraction=0.6)
    population = learnt(made.fit)
    distance = deviations(population, made.fit).square().sum(1)
    assert distance[made.odd].median() > 4 * distance[~made.odd].median()


def test_deviations_turn_like_parameters_and_cost_no_significance() -> None:
    made = sky(200)
    population, symmetry = learnt(made.fit), torch.arange(200) % 8
    compared = population.compared(made.fit)
    turned = turned_fit(compared, symmetry)
    assert compared.deviation is not None
    assert turned.deviation is not None

    def length(of: dict[str, Tensor]) -> Tensor:
        return torch.stack(list(of.values()), 1).norm(dim=1)

    torch.testing.assert_close(length(turned.deviation), length(compared.deviation))
    quarter = symmetry == 1
    torch.testing.assert_close(turned.deviation["e1"][quarter], -compared.deviation["e1"][quarter])
    # A population that turned too would say the same.
    everything = torch.full((200,), 3)
    other = learnt(turned_fit(made.fit, everything))
    found = deviations(other, turned_fit(made.fit, everything))
    expected = turned_fit(compared, everything).deviation
    assert expected is not None
    torch.testing.assert_close(
        found, torch.stack([expected[name] for name in NAMES], 1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_few_or_broken_fits_leave_finite_numbers(count: int) -> None:
    fit = sky(count).fit
    covariance = fit.covariance.clone()
    covariance[0] = torch.inf
    broken = fit._replace(
        params=fit.params | {"theta_E": torch.zeros(count)},
        covariance=covariance,
        converged=torch.zeros(count, dtype=torch.bool),
    )
    for given in (fit, broken):
        population = learnt(given)
        assert population.mean.isfinite().all()
        assert population.scatter.isfinite().all()
        assert deviations(population, given).isfinite().all()
