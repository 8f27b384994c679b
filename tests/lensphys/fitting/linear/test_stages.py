"""Sources of more and more amplitudes."""

import dataclasses
import math
import types

import torch

from lensphys.fitting.linear.settings import LinearModel
from lensphys.fitting.linear.stages import Stage, raise_order, widen

NAMES = ("theta_E", "source_beta")


@dataclasses.dataclass
class Scene:
    """Names of the parameters."""

    names: tuple[str, ...] = NAMES


@dataclasses.dataclass
class Problem:
    """1,000 pixels; chi^2 above what noise explains, and the evidence, are given."""

    excess: float
    evidence: float
    scene: Scene = dataclasses.field(default_factory=Scene)

    @property
    def weight(self):
        return torch.ones(1, 25, 40, dtype=torch.float64)

    @property
    def bounds(self):
        return self

    def forward(self, z, index):
        return z, torch.ones_like(z)

    def measure(self, z, index):
        chi2 = torch.tensor([950 + self.excess * (2 * 950) ** 0.5], dtype=torch.float64)
        effective = torch.tensor([50.0], dtype=torch.float64)
        evidence = torch.tensor([self.evidence], dtype=torch.float64)
        return {"chi2": chi2, "effective": effective, "log_posterior": evidence}


@dataclasses.dataclass
class State:
    """Place where a fit has ended."""

    z: torch.Tensor
    index: torch.Tensor = dataclasses.field(default_factory=lambda: torch.tensor([0]))


def raise_from(excesses, evidence):
    """Fit models whose chi^2 and evidence are given; parameters grow by 0.1 from fit to fit."""
    stages = [
        Stage(Problem(*given), State(torch.tensor([[1 + 0.1 * k, 0.3 * k]])))
        for k, given in enumerate(zip(excesses, evidence, strict=True))
    ]
    orders = range(1, len(stages))
    models = [LinearModel(source_order=order) for order in orders]
    end, shift = raise_order(stages[0], models, lambda model, _: stages[model.source_order])
    return [stage is end for stage in stages].index(True), shift


def test_noise_that_is_too_large_asks_for_no_more_amplitudes():
    end, shift = raise_from([-2.1, 0, 0], [0, 100, 200])
    assert end == 0
    assert not shift.any()


def test_two_orders_follow_noise_that_is_right_and_no_more_without_gain():
    end, _ = raise_from([0, 0, 0, 0], [0, -5, -8, -10])
    assert end == 2


def test_orders_follow_while_the_evidence_grows():
    assert raise_from([0, 0, 0, 0, 0], [0, 5, 10, 14, 15])[0] == 4
    assert raise_from([0, 0, 0, 0, 0], [0, 5, 10, 12, 30])[0] == 3


def test_orders_follow_while_noise_does_not_explain_the_image():
    assert raise_from([9, 9, 9, 9, 1], [0, 0, 0, 0, 0])[0] == 4


def test_the_last_change_moves_the_lens_alone():
    _, shift = raise_from([0, 0, 0], [0, 0, 0])
    assert torch.allclose(shift, torch.tensor([[0.1, 0.0]], dtype=torch.float64), atol=1e-6)


def widen_by(excess, sd):
    """Widen unit errors of a fit of 50 effective amplitudes, shifted by 0.5 and 0."""
    problem = Problem(excess, 0.0)
    problem.priors = types.SimpleNamespace(sd=torch.tensor([[math.inf, sd]], dtype=torch.float64))
    stage = Stage(problem, State(torch.zeros(1, 2)))
    shift = torch.tensor([[0.5, 0.0]], dtype=torch.float64)
    return widen(torch.eye(2, dtype=torch.float64)[None], stage, shift)[0]


def test_errors_count_what_the_source_lacks():
    # Fifty of 150 amplitudes add a third to the variance, the shift its square.
    right = torch.diag(torch.tensor([1 + 1 / 3 + 0.25, 1 + 1 / 3], dtype=torch.float64))
    torch.testing.assert_close(widen_by(0.0, 5.0), right)


def test_noise_that_is_too_large_stands_for_what_the_source_lacks():
    right = torch.diag(torch.tensor([1.25, 1.0], dtype=torch.float64))
    torch.testing.assert_close(widen_by(-3.0, 5.0), right)


def test_no_error_is_larger_than_that_of_its_prior():
    found = widen_by(0.0, 1.1)
    torch.testing.assert_close(found[1, 1].item(), 1.1**2)
    torch.testing.assert_close(found[0, 0].item(), 1 + 1 / 3 + 0.25)
