"""Amplitudes: bounded, regularised least squares."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

from lensphys.fitting.linear.amplitudes import solve_amplitudes

ROWS, COLUMNS = 60, 9


def make_system(seed, parallel=0.0, batch=3):
    """Columns, data, roughness, precision and a mask of positive amplitudes."""
    generator = torch.Generator().manual_seed(seed)
    shape = batch, ROWS, COLUMNS
    columns = torch.randn(shape, generator=generator, dtype=torch.float64)
    if parallel:
        columns = columns[..., :1] + parallel * columns
    truth = torch.randn(batch, COLUMNS, generator=generator, dtype=torch.float64)
    noise = torch.randn(batch, ROWS, generator=generator, dtype=torch.float64)
    data = (columns * truth[:, None]).sum(2) + 0.1 * noise
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    roughness = torch.zeros(COLUMNS, COLUMNS, dtype=torch.float64)
    roughness[:4, :4] = root @ root.T + torch.eye(4)
    precision = torch.zeros(batch, COLUMNS, dtype=torch.float64)
    precision[:, 4] = 3.0
    positive = torch.arange(COLUMNS) >= 5
    return columns, data, roughness, precision, positive


def solve(columns, data, roughness, precision, positive, strength):
    normal = columns.mT @ columns
    projection = (columns.mT @ data[..., None])[..., 0]
    strength = torch.full((len(data),), strength, dtype=torch.float64)
    return solve_amplitudes(normal, projection, strength, roughness, precision, positive)


@pytest.mark.parametrize("strength", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("seed", range(4))
def test_amplitudes_are_those_of_bounded_least_squares(seed, strength):
    system = make_system(seed)
    columns, data, roughness, precision, positive = system
    found = solve(*system, strength)
    root = torch.linalg.cholesky(roughness + 1e-12 * torch.eye(COLUMNS)).T * math.sqrt(strength)
    low = np.where(positive, 0.0, -np.inf)
    for b in range(len(data)):
        rows = [columns[b], root, precision[b].sqrt().diag()]
        right = np.concatenate([data[b], np.zeros(2 * COLUMNS)])
        best = lsq_linear(torch.cat(rows).numpy(), right, (low, np.inf), method="bvls", tol=1e-14)
        np.testing.assert_allclose(found.amplitudes[b], best.x, rtol=0, atol=1e-6)
        assert ((best.x > 1e-9) == found.active[b].numpy())[positive].all()


@pytest.mark.parametrize("unit", [1e-20, 1e25])
def test_amplitudes_do_not_depend_on_the_unit_of_the_noise(unit):
    columns, data, _, precision, positive = make_system(0)
    nothing = torch.zeros(COLUMNS, COLUMNS, dtype=torch.float64), 0 * precision, positive, 0.0
    expected = solve(columns, data, *nothing).amplitudes
    found = solve(columns / unit, data / unit, *nothing).amplitudes
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("parallel", [1e-2, 1e-4])
def test_columns_that_are_nearly_parallel_are_fitted_as_well(parallel):
    system = make_system(7, parallel)
    columns, data, *_, positive = system
    found = solve(*system, 1e-12)
    assert found.amplitudes.isfinite().all()
    assert (found.amplitudes[:, positive] >= 0).all()
    low = np.where(positive, 0.0, -np.inf)
    for b in range(len(data)):
        residual = data[b] - columns[b] @ found.amplitudes[b]
        pulled = math.sqrt(3) * found.amplitudes[b, 4]
        left = residual.square().sum() + pulled**2
        extra = torch.zeros(1, COLUMNS).double()
        extra[0, 4] = math.sqrt(3)
        matrix = torch.cat([columns[b], extra]).numpy()
        best = lsq_linear(matrix, np.append(data[b], 0.0), (low, np.inf), method="bvls")
        # A ridge of 1e-9 keeps amplitudes apart: what it costs is small beside the data.
        assert left.item() - 2 * best.cost < 1e-3 * data[b].square().sum().item()


def test_no_positive_amplitude_is_negative_and_held_ones_are_0():
    system = make_system(11)
    found = solve(*system, 1.0)
    positive = system[-1]
    held = ~found.active
    assert held.any()
    assert not held[:, ~positive].any()
    assert (found.amplitudes[held] == 0).all()
    assert (found.amplitudes[:, positive] >= 0).all()
    # Each that is held would be negative otherwise: the slope of the objective is not downhill.
    columns, data, roughness, precision, _ = system
    residual = data - (columns @ found.amplitudes[..., None])[..., 0]
    uphill = (roughness + precision[:, :, None] * torch.eye(COLUMNS)) @ found.amplitudes[..., None]
    slope = (columns.mT @ residual[..., None] - uphill)[..., 0]
    assert (slope[held] <= 1e-6).all()
    assert slope[found.active].abs().max() < 1e-6


def test_the_inverse_is_that_of_the_active_amplitudes():
    system = make_system(11)
    found = solve(*system, 1.0)
    columns, _, roughness, precision, _ = system
    matrix = columns.mT @ columns + roughness + torch.diag_embed(precision)
    inverse = found.solve(torch.eye(COLUMNS).double().expand(3, -1, -1))
    for b in range(3):
        active = found.active[b]
        right = torch.linalg.inv(matrix[b][active][:, active])
        torch.testing.assert_close(inverse[b][active][:, active], right, rtol=1e-6, atol=1e-9)
        assert not inverse[b][~active].any()


@pytest.mark.parametrize("parallel", [1e-6, 1e-9, 1e-14])
def test_columns_that_are_parallel_to_rounding_have_amplitudes_of_usual_size(parallel):
    system = make_system(7, parallel)
    found = solve(*system, 1e-12).amplitudes
    assert found.isfinite().all()
    assert (found[:, system[-1]] >= 0).all()
    size = system[1].square().sum(1).sqrt() / system[0].square().sum((1, 2)).sqrt()
    # The ridge of 1e-9 keeps them from growing as 1 / parallel.
    assert (found.abs().amax(1) < 1e5 * size).all()


def test_gradients_are_right_where_the_active_ones_stay():
    columns, data, roughness, precision, _ = make_system(3, batch=1)
    columns, data = columns[:, :7, 2:6].clone(), data[:, :7].clone()
    roughness, precision = roughness[2:6, 2:6], precision[:, 2:6]
    positive = torch.arange(4) >= 2
    leaves = columns.requires_grad_(), data.requires_grad_()

    def amplitudes(columns, data):
        return solve(columns, data, roughness, precision, positive, 0.5).amplitudes

    assert (amplitudes(*leaves)[:, 2] > 0.01).all()
    # The ridge, 1e-9 of the diagonal, is taken for a constant.
    assert torch.autograd.gradcheck(amplitudes, leaves, eps=1e-6, atol=1e-6, rtol=1e-5)


def test_an_empty_image_and_columns_without_light_have_no_amplitudes():
    columns, data, roughness, precision, positive = make_system(5)
    columns[0] = 0.0
    columns[1, :, 6] = 0.0
    data[2] = 0.0
    found = solve(columns, data, roughness, precision, positive, 1.0)
    assert found.amplitudes.isfinite().all()
    assert not found.amplitudes[[0, 2]].any()
    assert found.amplitudes[1, 6] == 0


def test_amplitudes_of_one_image_do_not_depend_on_the_others():
    columns, data, roughness, precision, positive = make_system(13)
    together = solve(columns, data, roughness, precision, positive, 0.1)
    alone = solve(columns[1:2], data[1:2], roughness, precision[1:2], positive, 0.1)
    torch.testing.assert_close(together.amplitudes[1:2], alone.amplitudes, rtol=1e-12, atol=1e-12)
