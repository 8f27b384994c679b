"""Axis ratios and angles from components, with errors."""

import math

import numpy as np
import pytest

from learn.modelling.tables.axes import measure_axis


@pytest.mark.parametrize("phi", [0.0, 20.0, 90.0, 160.0])
def test_ratio_and_angle_are_those_of_the_ellipse(phi):
    q = 0.6
    modulus = (1 - q) / (1 + q)
    e1, e2 = (modulus * f(2 * math.radians(phi)) for f in (math.cos, math.sin))
    axis = measure_axis(e1, e2, np.eye(2) * 1e-6)
    assert axis.ratio == pytest.approx(q)
    assert axis.phi == pytest.approx(phi, abs=1e-9)


def test_errors_are_those_of_draws():
    mean = np.array([0.12, -0.2])
    covariance = 1e-4 * np.array([[1.0, 0.6], [0.6, 2.0]])
    axis = measure_axis(*mean, covariance)
    e1, e2 = np.random.default_rng(0).multivariate_normal(mean, covariance, 100_000).T
    modulus = np.hypot(e1, e2)
    phi = np.degrees(0.5 * np.arctan2(e2, e1))
    assert axis.modulus_error == pytest.approx(modulus.std(), rel=0.02)
    assert axis.ratio_error == pytest.approx(((1 - modulus) / (1 + modulus)).std(), rel=0.02)
    assert axis.phi_error == pytest.approx(phi.std(), rel=0.02)


def test_a_round_body_has_any_angle():
    anything = 180 / math.sqrt(12)
    for modulus in (0.0, 1e-4):
        axis = measure_axis(modulus, 0.0, np.eye(2) * 0.01**2)
        assert axis.phi_error == pytest.approx(anything)
        assert axis.modulus_error == pytest.approx(0.01)


def test_what_the_data_do_not_constrain_has_no_finite_error():
    axis = measure_axis(0.1, 0.1, np.full((2, 2), np.inf))
    assert math.isinf(axis.modulus_error)
    assert axis.phi_error == pytest.approx(180 / math.sqrt(12))
