"""Example profiles of rings and spirals, and what their tests share."""

import math

import numpy as np
import torch

from lensphys import Ring, Spiral

RING = {"amp": 3.0, "R_ring": 0.8, "sigma": 0.15, "e1": -0.1, "e2": 0.15}

RING |= {"center_x": 0.1, "center_y": -0.2}

DISC = {"amplitude": 2.0, "R_sersic": 0.7, "n_sersic": 1.0, "e1": -0.1, "e2": 0.15}

DISC |= {"center_x": 0.1, "center_y": -0.2}

ARMS = {"arm_contrast": 1.4, "pitch": 0.4, "R_core": 0.2, "phi_arm": 0.3}

SPIRAL = DISC | ARMS

SHAPES = [(0.0, 0.0), (1e-4, 0.0), (-0.1, 0.25), (0.72, -0.54)]

PROFILES = [(Ring, RING), (Spiral, SPIRAL)]


def on_ellipse(R, angle, e1=0.0, e2=0.0, **_):
    """Positions on the ellipse of circularised radius R, by the angle in the plane of the disc."""
    u, v = R * torch.cos(angle), R * torch.sin(angle)
    scale = 1 / math.sqrt(1 - e1 * e1 - e2 * e2)
    return scale * ((1 + e1) * u + e2 * v), scale * ((1 - e1) * v + e2 * u)


def flux_on_polar_grid(profile, R_max, shape):
    """Integral over the plane: exact in the angle, Gauss-Legendre in the radius."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    R = torch.from_numpy(0.5 * R_max * (nodes + 1))[:, None]
    angle = torch.arange(256, dtype=torch.float64)[None] * (2 * math.pi / 256)
    x, y = on_ellipse(R, angle, *shape)
    ring = profile.surface_brightness(x, y).mean(-1)  # the map has a Jacobian of 1
    return (2 * math.pi * R[:, 0] * ring * torch.from_numpy(0.5 * R_max * weights)).sum().item()
