"""The usual lens of a data set, and deviations from it."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from learn.lens_fits.lens_fits import NAMES, LensFits
from learn.lens_fits.usual_lens import UsualLens
from learn.views.symmetries import turn_fits

#: One lens, with a source that may be anywhere.
USUAL = {"theta_E": 1.2, "gamma": 2.0, "e1": 0.1, "gamma1": 0.05, "source_amplitude": 20.0}
USUAL |= {"source_R_sersic": 0.25, "source_n_sersic": 1.0, "source_e1": -0.1, "source_e2": 0.1}


@dataclasses.dataclass(frozen=True)
class Sky:
    """Fits of one lens, and what was done to it in each image."""

    fits: LensFits
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
    arrays = {"params": truth + noise, "covariance": covariance}
    arrays |= {"chi2_dof": np.ones(count), "converged": np.ones(count, bool)}
    arrays["statistics"] = np.ones((count, 1))
    return Sky(LensFits.of_arrays(NAMES, arrays), torch.from_numpy(odd))


def learnt(fits: LensFits) -> UsualLens:
    usual_lens = UsualLens()
    usual_lens.learn(fits)
    return usual_lens


def deviations(usual_lens: UsualLens, fits: LensFits) -> Tensor:
    compared = usual_lens.compare(fits)
    assert compared.deviation is not None
    return compared.deviation


def test_fits_of_one_lens_deviate_by_their_errors() -> None:
    fits = sky(600).fits
    usual_lens = learnt(fits)
    wide = {"source_center_x", "source_center_y"}
    tight = [i for i, name in enumerate(NAMES) if name not in wide]
    scatter = usual_lens.scatter.diagonal().sqrt()
    for name in wide:
        assert 0.1 < scatter[NAMES.index(name)] < 0.35, "arcsec; uniform in 0.7"
    assert scatter[tight].max() < 0.03, "errors of log R_sersic are 0.04"
    theta_E = usual_lens.mean[NAMES.index("theta_E")].exp()
    assert theta_E.item() == pytest.approx(1.2, abs=0.002)
    found = deviations(usual_lens, fits)[:, tight]
    assert 0.7 < found.std() < 1.1


def test_a_majority_of_other_lenses_does_not_hide_the_usual_one() -> None:
    """Two thirds have substructure; the usual lens is that of the third without."""
    made = sky(900, odd_fraction=0.6)
    usual_lens = learnt(made.fits)
    distance = deviations(usual_lens, made.fits).square().sum(1)
    assert distance[made.odd].median() > 4 * distance[~made.odd].median()


def test_deviations_turn_like_parameters_and_cost_no_significance() -> None:
    made = sky(200)
    usual_lens, symmetry = learnt(made.fits), torch.arange(200) % 8
    compared = usual_lens.compare(made.fits)
    turned = turn_fits(compared, symmetry)
    assert compared.deviation is not None
    assert turned.deviation is not None
    torch.testing.assert_close(turned.deviation.norm(dim=1), compared.deviation.norm(dim=1))
    quarter, e1 = symmetry == 1, NAMES.index("e1")
    torch.testing.assert_close(turned.deviation[quarter, e1], -compared.deviation[quarter, e1])
    # The usual lens of turned fits gives the same.
    everything = torch.full((200,), 3)
    other = learnt(turn_fits(made.fits, everything))
    found = deviations(other, turn_fits(made.fits, everything))
    expected = turn_fits(compared, everything).deviation
    assert expected is not None
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_few_or_broken_fits_leave_finite_numbers(count: int) -> None:
    fits = sky(count).fits
    values, covariance = fits.values.clone(), fits.covariance.clone()
    values[:, NAMES.index("theta_E")] = 0.0
    covariance[0] = torch.inf
    none = torch.zeros(count, dtype=torch.bool)
    broken = dataclasses.replace(fits, values=values, covariance=covariance, converged=none)
    for given in (fits, broken):
        usual_lens = learnt(given)
        assert usual_lens.mean.isfinite().all()
        assert usual_lens.scatter.isfinite().all()
        assert deviations(usual_lens, given).isfinite().all()
