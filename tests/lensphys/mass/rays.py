"""Rays around power-law lenses, and slopes and ellipticities to try on them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

DTYPES = [torch.float32, torch.float64]

SLOPES = [1.05, 1.1, 1.7, 2.0, 2.3, 2.9, 2.95]

each_slope = pytest.mark.parametrize("gamma", SLOPES)

each_modulus = pytest.mark.parametrize("modulus", [0.0, 1e-8, 1e-3, 0.3, 0.6, 0.9, 0.99])

angles = st.floats(0, 2 * math.pi)

moduli = st.sampled_from([0.0, 1e-8, 1e-3, 0.9]) | st.floats(0, 0.9)


def lens(modulus, angle=0.6, **more):
    e = modulus * np.exp(1j * angle)
    return {"theta_E": 1.2, "e1": e.real, "e2": e.imag, "center_x": 0.07, "center_y": -0.05, **more}


def tensors(parameters, dtype=torch.float64):
    return {name: torch.tensor(value, dtype=dtype) for name, value in parameters.items()}


def rays(parameters, low=1.1e-3, high=10.0):
    """Points on rays from the centre, some of them on its axes."""
    directions = np.append(np.exp(1j * np.array([0.3, 0.4, 1.9, 3.3, 5.0, 5.9])), [1, 1j, -1, -1j])
    z = np.geomspace(low, high, 12)[:, None] * directions
    z = z + complex(parameters["center_x"], parameters["center_y"])
    return torch.from_numpy(z.real.copy()), torch.from_numpy(z.imag.copy())


def assert_relative(found, expected, precision):
    """Each point to a precision relative to the size of all components there."""
    found, expected = (
        torch.stack([torch.as_tensor(f) for f in maps]) for maps in (found, expected)
    )
    error = (found - expected).norm(dim=0) / expected.norm(dim=0)
    assert error.max() < precision


def maps_of(profile, method, x, y):
    found = getattr(profile, method)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found
