"""Draws from posteriors: moments, bounds, seeds, and calibration on mock lenses."""

import pytest
import torch
from scipy import stats

from lensphys import Draws, fit, sample
from lensphys.fit_range import FitRange
from lensphys.sampling import sampler
from lensphys.sampling.hamiltonian import Chains
from lensphys.sampling.posterior import Posterior
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like
from tests.lensphys.sampling.toys import NormalToy, correlated, wide


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Runs of an eighth of their length, which lenses of normal posteriors need no more of."""
    monkeypatch.setattr(sampler, "_LEAST", 50)
    monkeypatch.setattr(sampler, "_DOUBLINGS", 0)


@pytest.fixture(scope="module")
def normal():
    """A normal posterior of five parameters, three lenses."""
    mean = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]]).double() * torch.tensor([[1.0], [2], [-1]])
    return NormalToy(wide(5), mean, correlated(5, seed=3))


@pytest.mark.filterwarnings("ignore:the chains")
def test_moments_of_a_normal_posterior_are_exact(normal):
    draws = sample(normal.result(), 1200, seed=1, warmup=40)
    assert (draws.worst_rhat < 1.03).all()
    covariance = torch.linalg.inv(normal.precision)
    table = torch.stack(list(draws.values()), -1)
    for k in range(3):
        width = covariance[k].diagonal().sqrt()
        off = (table[:, k].mean(0) - normal.mean[k]) / width
        independent = torch.stack(list(draws.ess.values()), -1)[k].clamp_max(1200)
        assert (off.abs() < 4 / independent.sqrt()).all()
        found = table[:, k].T.cov()
        ratio = found / (width[:, None] * width)
        exact = covariance[k] / (width[:, None] * width)
        torch.testing.assert_close(ratio, exact, rtol=0, atol=0.2)


@pytest.mark.filterwarnings("ignore:the chains")
def test_a_prior_that_is_flat_in_the_parameter_ends_at_its_bounds():
    ranges = {
        "a": FitRange(low=0.0, high=1.0),  # the data drive it into its lower bound
        "b": FitRange(low=0.1, high=10.0, start=1.0, log=True),  # they do not constrain it
        "c": FitRange(low=-1.0, high=1.0),
        "d": FitRange(low=0.1, high=10.0, start=1.0, log=True),  # nor its logarithm
    }
    mean = torch.tensor([[-1.5, 1.0, 0.3, 20.0]]).double().expand(60, 4)
    width = torch.tensor([0.7, torch.inf, 0.1, 3.0]).double()
    problem = NormalToy(ranges, mean, torch.diag(1 / width**2))
    # One of each chain, which are independent.
    draws = sample(problem.result(), 4, seed=2, warmup=40)

    def p_value(name, distribution):
        return stats.kstest(draws[name].flatten().numpy(), distribution.cdf).pvalue

    truncated = stats.truncnorm(1.5 / 0.7, 2.5 / 0.7, loc=-1.5, scale=0.7)
    assert p_value("a", truncated) > 0.01
    assert p_value("b", stats.uniform(0.1, 9.9)) > 0.01
    assert p_value("c", stats.norm(0.3, 0.1)) > 0.01
    assert p_value("d", stats.truncnorm(-19.9 / 3, -10 / 3, loc=20, scale=3)) > 0.01


@pytest.mark.filterwarnings("ignore:the chains")
def test_the_draws_of_a_lens_depend_on_its_image_and_the_seed_alone(normal):
    together = sample(normal.result(), 40, seed=3, warmup=20)
    alone = NormalToy(wide(5), normal.mean[1:2], normal.precision[1])
    alone.images = normal.images[1:2]
    single = sample(alone.result(), 40, seed=3, warmup=20)
    other = sample(normal.result(), 40, seed=4, warmup=20)
    for name in together:
        torch.testing.assert_close(single[name][:, 0], together[name][:, 1])
        assert (other[name] != together[name]).all()


@pytest.mark.filterwarnings("ignore:the chains")
def test_a_fixed_parameter_is_constant(normal):
    problem = NormalToy(wide(5), normal.mean, normal.precision[0], fixed={"b": 7.0})
    draws = sample(problem.result(), 10, warmup=20)
    assert (draws["b"] == 7).all()
    assert "b" not in draws.rhat
    assert draws["a"].shape == (10, 3)
    everything = dict.fromkeys(problem.result().names, 1.0)
    problem = NormalToy(wide(5), normal.mean, normal.precision[0], fixed=everything)
    with pytest.raises(ValueError, match="nothing to draw"):
        sample(problem.result(), 10)


@pytest.mark.parametrize(
    ("n", "more", "named"),
    [(0, {}, "n"), (10, {"chains": 1}, "chains"), (10, {"warmup": 3}, "warmup"), (2.5, {}, "n")],
)
def test_counts_out_of_range_are_refused(normal, n, more, named):
    with pytest.raises(ValueError, match=named):
        sample(normal.result(), n, **more)


class Rugged(NormalToy):
    """Posterior of so many narrow valleys that chains stay where they are."""

    def energy(self, z, index):
        return super().energy(z, index) + 40 * torch.sin(1e6 * z).square().sum(1)


@pytest.mark.filterwarnings("ignore:the chains")
def test_chains_that_do_not_agree_learn_on_and_run_anew(normal, monkeypatch):
    monkeypatch.setattr(sampler, "_DOUBLINGS", 1)
    runs = []

    class Recorded(Chains):
        def draw(self, iterations):
            runs.append((len(self.reach), iterations))
            return super().draw(iterations)

    monkeypatch.setattr(sampler, "Chains", Recorded)
    draws = sample(normal.result(), 20, seed=1, warmup=20)
    assert runs == [(3, 50), (3, 100)]
    assert draws["a"].shape == (20, 3)


def test_chains_that_do_not_mix_are_marked():
    problem = Rugged(wide(2), torch.zeros(1, 2).double(), torch.diag(torch.ones(2).double()))
    with pytest.warns(RuntimeWarning, match="1 of 1 lenses do not agree"):
        draws = sample(problem.result(), 40, chains=2, warmup=20)
    assert not draws.converged.any()


@pytest.mark.filterwarnings("ignore:the chains")
def test_draws_of_a_lens_have_the_errors_of_the_fit():
    truth = draw(1, seed=8)
    clean = image_of(truth, (24, 24))
    sigma = clean.amax((1, 2)) / 200
    images = (clean + sigma[:, None, None] * noise_like(clean, 9)).float()
    result = fit(images, sigma.float(), **KIND)
    draws = sample(result, 400, seed=5, warmup=60)
    assert isinstance(draws, Draws)
    assert draws["theta_E"].dtype == torch.float32
    for name in result.names:
        off = (draws[name].mean(0) - result.params[name]) / result.errors[name]
        assert off.abs().max() < 0.4, name
        ratio = draws[name].std(0) / result.errors[name]
        assert ((ratio > 0.8) & (ratio < 1.25)).all(), name


@pytest.mark.filterwarnings("ignore:the chains")
def test_a_draw_behind_a_linear_scene_costs_one_evaluation_of_its_posterior(monkeypatch):
    truth = draw(1, seed=8)
    image = image_of(truth, (24, 24))
    start = {name: truth[name] for name in ("theta_E", "e1", "e2", "center_x", "center_y")}
    start |= {name: truth[name] for name in ("gamma1", "gamma2")}
    start |= {f"source_{name}": truth[f"source_{name}"] for name in ("center_x", "center_y")}
    start |= {"source_beta": 0.1}
    sigma = float(image.max()) / 100
    noisy = image + sigma * noise_like(image, 9)
    result = fit(noisy, sigma, **KIND, source="shapelets", source_order=3, start=start)
    evaluated = []
    energy = Posterior.energy

    def count(posterior, u, index):
        evaluated.append(len(index))
        return energy(posterior, u, index)

    monkeypatch.setattr(Posterior, "energy", count)
    draws = sample(result, 200, seed=1, warmup=40)
    assert sum(evaluated) <= 4 * (1 + 40 + 5 + 50)
    assert float(draws.acceptance) > 0.6
    ratio = draws["theta_E"].std(0) / result.errors["theta_E"]
    assert 0.6 < float(ratio) < 1.6
