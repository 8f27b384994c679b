"""Example profiles of every kind, and random ones beside those of lenstronomy."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles import convergence as their_convergence
from lenstronomy.LensModel.Profiles import epl as their_epl
from lenstronomy.LensModel.Profiles import multipole as their_multipole
from lenstronomy.LensModel.Profiles import nfw as their_nfw
from lenstronomy.LensModel.Profiles import nie as their_nie
from lenstronomy.LensModel.Profiles import point_mass as their_point_mass
from lenstronomy.LensModel.Profiles import shear as their_shear
from lenstronomy.LensModel.Profiles import sie as their_sie
from lenstronomy.LensModel.Profiles import sis as their_sis

from lensphys import (
    EPL,
    NFW,
    NIE,
    SIE,
    SIS,
    TNFW,
    ConvergenceSheet,
    Multipole,
    PointMass,
    Population,
    Shear,
    UniformLine,
)

METHODS = ["potential", "deflection", "hessian"]

DTYPES = [torch.float32, torch.float64]


def elliptical(modulus, angle=0.6):
    return {"e1": modulus * math.cos(angle), "e2": modulus * math.sin(angle)}


def sie(modulus, angle=0.6):
    return {"theta_E": 1.2, **elliptical(modulus, angle), "center_x": 0.07, "center_y": -0.05}


def nie(modulus, s_scale, angle=0.6):
    return sie(modulus, angle) | {"s_scale": s_scale}


def epl(modulus, gamma, angle=0.6):
    return sie(modulus, angle) | {"gamma": gamma}


def multipole(**parameters):
    return {"a_m": 0.1, "phi_m": 0.7, "center_x": 0.07, "center_y": -0.05, **parameters}


def halo(Rs, **changed):
    """A halo whose deflection is not small; the pixel at the origin is at 0.155 arcsec or near."""
    return {"Rs": Rs, "alpha_Rs": 0.4, "center_x": 0.07, "center_y": -0.05} | changed


def line(half_length, phi=0.6):
    shape = {"half_length": half_length, "phi": phi}
    return {"theta_E": 0.5, **shape, "center_x": 0.07, "center_y": -0.05}


#: Puts the pixel at the origin exactly at the scale radius of a halo, or at its truncation.
ON_A_RADIUS = {"center_x": 0.0, "center_y": 0.155}


def population_of_points(**parameters):
    return Population(PointMass(**parameters), chunk=2)


#: How each profile is built, and with which parameters. SIE and NIE change to a power series below
#: an ellipticity of 1e-3.
PROFILES = {
    "SIE": (SIE, sie(0.25)),
    "SIE of q = 1": (SIE, sie(0.0)),
    "SIE of small ellipticity": (SIE, sie(1e-4)),
    "SIE below the switch": (SIE, sie(0.999e-3)),
    "SIE above the switch": (SIE, sie(1.001e-3)),
    # Pixels of the row y = 0 and of the column x = 0 sit exactly on an axis of the ellipse.
    "SIE along x": (SIE, sie(0.3) | {"e1": 0.3, "e2": 0.0, "center_y": 0.0}),
    "SIE along y": (SIE, sie(0.3) | {"e1": -0.3, "e2": 0.0, "center_x": 0.0}),
    "flat SIE": (SIE, sie(0.9, 2.0)),
    "SIS": (SIS, {"theta_E": 1.2, "center_x": 0.07, "center_y": -0.05}),
    "NIE": (NIE, nie(0.25, 0.1)),
    "NIE of q = 1": (NIE, nie(0.0, 0.1)),
    "NIE above the switch": (NIE, nie(1.001e-3, 0.1)),
    "NIE along x": (NIE, nie(0.3, 0.1) | {"e1": 0.3, "e2": 0.0, "center_y": 0.0}),
    "flat NIE of a tiny core": (NIE, nie(0.9, 1e-4, 2.0)),
    "EPL": (EPL, epl(0.25, 1.8)),
    "EPL of q = 1": (EPL, epl(0.0, 2.2)),
    "flat EPL": (EPL, epl(0.9, 1.9, 2.0)),
    "steep EPL": (EPL, epl(0.3, 2.65)),
    "dipole": (functools.partial(Multipole, m=1), multipole(r_E=1.3)),
    "octupole": (functools.partial(Multipole, m=3), multipole()),
    "shear": (Shear, {"gamma1": 0.05, "gamma2": -0.03, "ra_0": 0.1, "dec_0": 0.2}),
    "point mass": (PointMass, {"theta_E": 0.3, "center_x": 0.07, "center_y": -0.05}),
    "convergence": (ConvergenceSheet, {"kappa": 0.1, "ra_0": 0.1, "dec_0": 0.2}),
    "NFW": (NFW, halo(0.9)),
    "NFW at its scale radius": (NFW, halo(0.155, **ON_A_RADIUS)),
    "compact NFW": (NFW, halo(0.01)),
    "TNFW": (TNFW, halo(0.3, r_trunc=1.1)),
    "TNFW at its scale radius": (TNFW, halo(0.155, r_trunc=0.155, **ON_A_RADIUS)),
    "TNFW truncated inside of its scale radius": (TNFW, halo(0.9, r_trunc=0.155, **ON_A_RADIUS)),
    "TNFW truncated far outside": (TNFW, halo(0.02, r_trunc=3.0)),
    "uniform line": (UniformLine, line(0.4)),
    "short line": (UniformLine, line(0.01)),
    "long line": (UniformLine, line(5.0, 2.0)),
    "population": (
        population_of_points,
        {
            "theta_E": [0.3, 0.05, 0.1],
            "center_x": [0.07, -0.5, 0.7],
            "center_y": [-0.05, 0.4, -0.35],
        },
    ),
}

SINGLE = {name: case for name, case in PROFILES.items() if name != "population"}

each_profile = pytest.mark.parametrize(("build", "parameters"), PROFILES.values(), ids=PROFILES)

each_single_profile = pytest.mark.parametrize(("build", "parameters"), SINGLE.values(), ids=SINGLE)

each_method = pytest.mark.parametrize("method", METHODS)


def maps(profile, method, x, y):
    """Return the maps of a profile at ``x, y``, as a tuple of one, two or three maps."""
    found = getattr(profile, method)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found


centres = st.floats(-1, 1)

angles = st.sampled_from([0.0, math.pi / 2, math.pi, -math.pi / 2]) | st.floats(0, 2 * math.pi)

moduli = st.sampled_from([0.0, 1e-8, 1e-4, 1e-3, 0.02, 0.9]) | st.floats(0, 0.9)


@st.composite
def sies(draw):
    ellipticity = elliptical(draw(moduli), draw(angles))
    centre = {"center_x": draw(centres), "center_y": draw(centres)}
    return {"theta_E": draw(st.floats(0.05, 3)), **ellipticity, **centre}


@st.composite
def nies(draw):
    # lenstronomy's NIE of exactly q = 1 is one of q = 0.99999999.
    ellipticity = elliptical(max(draw(moduli), 1e-8), draw(angles))
    s_scale = draw(st.sampled_from([1e-3, 1.0]) | st.floats(1e-3, 3))
    return draw(sies()) | ellipticity | {"s_scale": s_scale}


@st.composite
def epls(draw):
    return draw(sies()) | {"gamma": draw(st.just(2.0) | st.floats(1.3, 2.7))}


shears = st.fixed_dictionaries(
    {
        "gamma1": st.floats(-0.5, 0.5),
        "gamma2": st.floats(-0.5, 0.5),
        "ra_0": centres,
        "dec_0": centres,
    }
)

point_masses = st.fixed_dictionaries(
    {"theta_E": st.floats(0.05, 3), "center_x": centres, "center_y": centres}
)

multipoles = st.fixed_dictionaries(
    {
        "m": st.integers(1, 6),
        "a_m": st.floats(-0.3, 0.3),
        "phi_m": st.floats(-math.pi, math.pi),
        "center_x": centres,
        "center_y": centres,
        "r_E": st.floats(0.1, 3),
    }
)


class TheirNIE(their_nie.NIE):
    """lenstronomy's NIE with the exact Hessian of its deflection, by complex steps.

    Its own is from one-sided differences of 1e-10 arcsec, good to 1e-6.
    """

    def hessian(self, x, y, **parameters):
        along_x = self.derivatives(x + 1e-30j, y, **parameters)
        along_y = self.derivatives(x, y + 1e-30j, **parameters)
        return tuple(alpha.imag / 1e-30 for alpha in (*along_x, *along_y))


# Halos of lenstronomy lose digits at small radii, truncated ones too many for these tolerances:
# test_halos.py compares with both, and with more digits.
halos = {
    "Rs": st.floats(0.02, 0.1),
    "alpha_Rs": st.floats(0, 0.1),
    "center_x": centres,
    "center_y": centres,
}

lines = st.fixed_dictionaries(
    {
        "theta_E": st.floats(0.05, 3),
        "half_length": st.sampled_from([0.0, 1e-8, 1e-3]) | st.floats(0, 5),
        # Not along one of the rays of points, on which the deflection jumps.
        "phi": st.floats(0.1, 1.4).filter(lambda phi: abs(phi - 0.4) > 1e-6),
        "center_x": centres,
        "center_y": centres,
    }
)

sheets = st.fixed_dictionaries({"kappa": st.floats(-1, 1), "ra_0": centres, "dec_0": centres})

#: Our class, random parameters, and the same profile of lenstronomy: its closed-form SIE, whose
#: default has a core of 1e-10 arcsec and a Hessian from differences that is good to 1e-6 only.
RANDOM = {
    "SIE": (SIE, sies(), their_sie.SIE(NIE=False)),
    "SIS": (SIS, point_masses, their_sis.SIS()),
    "NIE": (NIE, nies(), TheirNIE()),
    "EPL": (EPL, epls(), their_epl.EPL()),
    "multipole": (Multipole, multipoles, their_multipole.Multipole()),
    "shear": (Shear, shears, their_shear.Shear()),
    "point mass": (PointMass, point_masses, their_point_mass.PointMass()),
    "convergence": (ConvergenceSheet, sheets, their_convergence.Convergence()),
    "NFW": (NFW, st.fixed_dictionaries(halos), their_nfw.NFW()),
    "TNFW": (
        TNFW,
        st.fixed_dictionaries(halos | {"r_trunc": st.floats(0.01, 5)}),
        None,
    ),
    "uniform line": (UniformLine, lines, None),
}

COMPARED = {name: case for name, case in RANDOM.items() if case[2] is not None}

each_compared_profile = pytest.mark.parametrize(
    ("cls", "strategy", "theirs"), COMPARED.values(), ids=COMPARED
)

each_random_profile = pytest.mark.parametrize(
    ("cls", "strategy", "theirs"), RANDOM.values(), ids=RANDOM
)


def points_around(parameters):
    """Points from 1.1e-3 to 10 arcsec around the centre of a profile, four rays on its axes."""
    names = ("center_x", "center_y") if "center_x" in parameters else ("ra_0", "dec_0")
    rays = np.append(np.exp(1j * np.array([0.4, 1.9, 3.3, 5.0, 5.9])), [1, 1j, -1, -1j])
    z = np.geomspace(1.1e-3, 10, 12)[:, None] * rays
    x, y = (parameters[k] + part for k, part in zip(names, (z.real, z.imag), strict=True))
    return torch.from_numpy(x), torch.from_numpy(y)
