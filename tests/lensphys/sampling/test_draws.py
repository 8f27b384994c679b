"""Draws by parameter name, and how they describe themselves."""

import pytest
import torch

from lensphys import Draws


@pytest.fixture
def draws():
    return Draws(
        params={"theta_E": torch.ones(10, 2), "gamma1": torch.zeros(10, 2)},
        rhat={"theta_E": torch.tensor([1.001, 1.02]), "gamma1": torch.tensor([1.003, 1.0])},
        ess={"theta_E": torch.tensor([70.0, 50.0]), "gamma1": torch.tensor([90.0, 80.0])},
        acceptance=torch.tensor([0.8, 0.7]),
        reach=torch.tensor([1.0, 0.5]),
        chains=4,
    )


def test_draws_are_a_mapping_by_parameter_name(draws):
    assert draws["theta_E"].shape == (10, 2)
    assert list(draws) == ["theta_E", "gamma1"]
    assert len(draws) == 2
    assert dict(draws).keys() == draws.keys()
    with pytest.raises(KeyError, match="there are theta_E, gamma1"):
        draws["theta"]


def test_a_lens_has_converged_if_all_its_parameters_have(draws):
    assert draws.converged.tolist() == [True, False]
    torch.testing.assert_close(draws.worst_rhat, torch.tensor([1.003, 1.02]))


def test_draws_describe_themselves_in_a_line(draws):
    assert repr(draws) == (
        "<10 draws of 2 parameters for 2 lenses, 4 chains: R-hat below 1.01 for 1 (largest 1.020), "
        "at least 50 independent draws>"
    )
