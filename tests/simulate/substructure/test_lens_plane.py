"""Angular scales at a lens are lenstronomy's."""

import dataclasses

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import Planck18
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from simulate.substructure.lens_plane import de_broglie_wavelength
from tests.simulate.substructure.lenses import PLANE


def test_a_wave_of_1e_22_ev_at_300_km_s_measures_0_4_kpc():
    length = de_broglie_wavelength(np.array(1e-22), np.array(300.0))
    assert length == pytest.approx(0.4018, rel=1e-3)
    reference = 4.135667696e-15 * 2.99792458e8**2 / (1e-22 * 3e5) * units.m
    assert length == pytest.approx(reference.to_value("kpc"), rel=1e-9)


def test_velocity_dispersion_is_that_of_the_isothermal_sphere():
    sigma = LensCosmo(0.5, 1.0, cosmo=Planck18).sis_theta_E2sigma_v(1.2)
    assert PLANE.velocity_dispersion(np.array([1.2]))[0] == pytest.approx(sigma, rel=1e-6)


def test_a_source_in_front_of_the_lens_is_refused():
    with pytest.raises(ValueError, match="behind the lens"):
        dataclasses.replace(PLANE, z_source=0.3)
