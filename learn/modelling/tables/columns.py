"""Units and meanings of the columns of the table of lenses."""

from __future__ import annotations

import functools
import re

import astropy.units as u

from lensphys.ground.registry import load
from lensphys.light import LIGHTS
from lensphys.mass import MASSES, find_mass
from lensphys.mass.multipole import CartesianMultipole
from lensphys.parameters import Profile, parameter_fields

_MEANINGS = {
    "name": "name of the lens",
    "ra": "right ascension (ICRS) in the catalogue, or of the middle of the image",
    "dec": "declination (ICRS) in the catalogue, or of the middle of the image",
    "flags": "warnings in words, separated by semicolons",
    "reason": "why there is no model",
    "converged": "1 if the fit has converged",
    "chi2_dof": "chi^2 over the number of pixels less that of effective parameters",
    "effective": "effective number of fitted parameters",
    "evidence": "log evidence, natural logarithm",
    "seconds": "time that the model took",
    "pixel_scale": "width of a pixel",
    "flux_unit": "unit of the image",
    "z_lens": "redshift of the lens, of the catalogue or the header",
    "z_source": "redshift of the source, likewise",
    "shear": "modulus of the external shear",
    "lensed_flux": "lensed light of the source within the image",
    "lens_light_flux": "light of the lens within the image",
    "sky": "fitted background in a pixel",
    "search_snr": "largest signal-to-noise ratio of one more mass, of all places",
    "search_x": "place of that mass",
    "search_y": "place of that mass",
    "search_mass": "mass that fits best there",
    "least_mass": "least mass seen at 5 sigma, in the most sensitive place",
    "einstein_mass": "mass inside the Einstein radius, Planck 2018 cosmology",
}
#: Units of parameters that no profile has.
_OWN_UNITS = {"size": "arcsec"}
#: Meanings of parameters and of what follows from them, by the end of their names.
_ENDS = {
    "theta_E": "Einstein radius of the {}, circularised",
    "gamma": "slope of the density of the {}; 2 is isothermal",
    "e1": "ellipticity of the {}, along x (positive) or y (negative)",
    "e2": "ellipticity of the {}, along the diagonals",
    "center_x": "centre of the {}",
    "center_y": "centre of the {}",
    "gamma1": "external shear, along x (positive) or y (negative)",
    "gamma2": "external shear, along the diagonals",
    "amplitude": "surface brightness of the {} at its half-light radius",
    "R_sersic": "half-light radius of the {}, circularised",
    "n_sersic": "Sersic index of the {}",
    "beta": "scale of the shapelets of the {}",
    "size": "half the width of the grid of the {}",
    "q": "axis ratio of the {}",
    "phi": "angle of the {}, from +x towards +y on the image",
    "pa": "position angle of the {}, East of North on the sky",
}
_BODIES = {"": "mass", "lens_light_outer": "outer lens light"}


def describe_column(name: str) -> str:
    """The meaning of a column, in words."""
    if name.endswith("_error"):
        return f"standard error of {name.removesuffix('_error')}"
    if name in _MEANINGS:
        return _MEANINGS[name]
    ends = [end for end in _ENDS if f"_{name}".endswith(f"_{end}")]
    if not ends:
        return "parameter of the fit"
    end = max(ends, key=len)
    body = name.removesuffix(end).rstrip("_")
    return _ENDS[end].format(_BODIES.get(body, body.replace("_", " ")))


def parameter_unit(name: str, flux: str = "") -> str:
    """Unit of a parameter of a fit; empty where it has none.

    Args:
        name: that of a parameter of a profile, perhaps with a prefix or the order of a multipole.
        flux: unit of the image; empty: not known.
    """
    plain = re.sub(r"^a\d+_", "a_", name)
    ends = [known for known in _profile_units() if f"_{plain}".endswith(f"_{known}")]
    unit = _profile_units()[max(ends, key=len)] if ends else ""
    if not unit.startswith("flux"):
        return unit
    return per_area(flux) if "arcsec" in unit else flux


def per_area(flux: str) -> str:
    """Unit of surface brightness, flux per arcsec^2; empty where that of the flux is not known."""
    return f"{flux} / arcsec2" if flux else ""


def fits_unit(unit: str) -> str | None:
    """A unit in the words of the FITS standard; None for one that it does not know.

    Readers would warn of such a unit in each column.
    """
    try:
        return str(u.Unit(unit, format="fits").to_string("fits")) or None
    except ValueError:
        return None


@functools.cache
def _profile_units() -> dict[str, str]:
    """Units of the parameters of all profiles, by name."""
    profiles = [find_mass(name) for name in MASSES] + [load(place) for place in LIGHTS.values()]
    profiles.append(CartesianMultipole)
    return _OWN_UNITS | {
        field.name: str(field.metadata["unit"])
        for profile in profiles
        if issubclass(profile, Profile)
        for field in parameter_fields(profile)
    }
