"""What each column of ``params`` is: its unit, its meaning, and which images fill it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Meaning:
    """Of one column."""

    unit: str
    """empty: a pure number"""
    words: str
    filled: str
    """in which images it is not NaN"""


_LENS, _PHYSICAL, _CDM, _AXION = "lenses", "lenses, `physical`", "`cdm`, `physical`", "`axion`"
_SERSIC = "lenses, but not with galaxies as sources"
_SHINES, _GALAXIES = "lenses that shine", "lenses, with galaxies as sources"

#: Every column of the presets and of imported data, in the order in which they are shown.
COLUMNS: dict[str, Meaning] = {
    "theta_E": Meaning(
        "arcsec",
        "Einstein radius, circularised: in `physical` of the whole lens, substructure included; in "
        "`published` of the main lens, before the factor `alpha_scale`",
        _LENS,
    ),
    "theta_E_main": Meaning(
        "arcsec",
        "Einstein radius of the main lens: in `physical` less than `theta_E` by the mass that the "
        "substructure has inside the ring; in `published` the same as `theta_E`",
        _LENS,
    ),
    "gamma": Meaning("", "slope of the density of the main lens; 2 is isothermal", _PHYSICAL),
    "e1": Meaning("", "ellipticity of the main lens, along x (positive) or y (negative)", _LENS),
    "e2": Meaning("", "ellipticity of the main lens, along the diagonals", _LENS),
    "center_x": Meaning("arcsec", "centre of the main lens", _LENS),
    "center_y": Meaning("arcsec", "centre of the main lens", _LENS),
    "gamma1": Meaning("", "external shear, along x (positive) or y (negative)", _LENS),
    "gamma2": Meaning("", "external shear, along the diagonals", _LENS),
    "substructure_mass": Meaning(
        "solar masses",
        "of all deflectors together: bound to the subhaloes after truncation, of the line, of the "
        "point masses; 0 in `no_sub`",
        _LENS,
    ),
    "substructure_infall_mass": Meaning(
        "solar masses", "of all subhaloes together: their M200 before truncation", _CDM
    ),
    "substructure_fraction": Meaning(
        "",
        "nominal, as drawn from the prior. `cdm`: expected mass at infall over the mass of the "
        "lens, inside of `cdm.disc_radius` Einstein radii; `axion`: the line has "
        "`axion.mass_share` of it times the mass inside the ring; `no_sub`: 0",
        _PHYSICAL,
    ),
    "substructure_fraction_ring": Meaning(
        "",
        "as it came out: the share of substructure in the mass inside the Einstein radius; 0 in "
        "`no_sub`",
        _PHYSICAL,
    ),
    "n_substructure": Meaning(
        "", "number of deflectors: subhaloes, point masses, or 1 line; 0 in `no_sub`", _LENS
    ),
    "axion_mass": Meaning("eV", "mass of the axion (times c^-2)", _AXION),
    "log10_axion_mass": Meaning("log10 eV", "its logarithm", _AXION),
    "vortex_half_length": Meaning("arcsec", "half the length of the vortex line", _AXION),
    "vortex_angle": Meaning(
        "rad", "direction of the line, from x towards y, in [0, pi): a line has no sign", _AXION
    ),
    "vortex_center_x": Meaning("arcsec", "middle of the line", "`axion`, `physical`"),
    "vortex_center_y": Meaning("arcsec", "middle of the line", "`axion`, `physical`"),
    "perturbation_snr": Meaning(
        "",
        "S/N of the substructure: of the difference from the same lens without it, all pixels "
        "together; 0 in `no_sub`",
        _PHYSICAL,
    ),
    "peak_snr": Meaning("", "S/N of the brightest pixel of the lensed source", _PHYSICAL),
    "source_center_x": Meaning("arcsec", "centre of the source, unlensed", _LENS),
    "source_center_y": Meaning("arcsec", "centre of the source, unlensed", _LENS),
    "source_magnitude": Meaning(
        "AB mag",
        "of the source, unlensed; only where the instrument has a zero point",
        "lenses of Models 2 and 3, `physical`",
    ),
    "source_flux": Meaning("e-/s", "of the source, unlensed", _LENS),
    "source_amplitude": Meaning(
        "e-/s/arcsec^2", "surface brightness of the source at `source_R_sersic`", _SERSIC
    ),
    "source_R_sersic": Meaning(
        "arcsec", "half-light radius of the source, unlensed; circularised", _LENS
    ),
    "source_n_sersic": Meaning("", "Sersic index of the source", _SERSIC),
    "source_e1": Meaning("", "ellipticity of the source, as `e1`", _SERSIC),
    "source_e2": Meaning("", "ellipticity of the source, as `e2`", _SERSIC),
    "source_galaxy": Meaning("", "which image of the file of galaxies, from 0", _GALAXIES),
    "source_stamp": Meaning("", "which stamp of `sources.h5`, from 0", _GALAXIES),
    "source_angle": Meaning(
        "rad", "by which the stamp is turned, from x towards y, in [0, 2 pi)", _GALAXIES
    ),
    "source_mirrored": Meaning(
        "",
        "1 where the stamp is mirrored, y to -y, before it is turned: augmentation does; else 0",
        _GALAXIES,
    ),
    "lens_light_magnitude": Meaning(
        "AB mag",
        "of the lens galaxy; only where the instrument has a zero point",
        "lenses of Models 2 and 3 that shine",
    ),
    "lens_light_flux": Meaning("e-/s", "of the lens galaxy", _SHINES),
    "lens_light_R_sersic": Meaning(
        "arcsec", "half-light radius of the lens galaxy; circularised", _SHINES
    ),
    "lens_light_n_sersic": Meaning("", "Sersic index of the lens galaxy", _SHINES),
    "lens_light_e1": Meaning("", "ellipticity of the light of the lens, as `e1`", _SHINES),
    "lens_light_e2": Meaning("", "ellipticity of the light of the lens, as `e2`", _SHINES),
    "lens_light_center_x": Meaning("arcsec", "centre of the light of the lens", _SHINES),
    "lens_light_center_y": Meaning("arcsec", "centre of the light of the lens", _SHINES),
    "non_lens_kind": Meaning(
        "", "0 single galaxy, 1 blend, 2 ring, 3 spiral, 4 edge-on disc", "`non_lens`"
    ),
    "exposure_time": Meaning("s", "in all; of non-lenses too", "all images"),
    "n_bad_pixels": Meaning("", "pixels that were filled in", "imported images"),
    "split": Meaning(
        "",
        "part of the published split, a position in the attribute `split_names`",
        "imported images with a split",
    ),
}


def unit(name: str) -> str:
    """Of a column; empty where it has none, or where it is not known."""
    return COLUMNS[name].unit if name in COLUMNS else ""


def in_order(names: Iterable[str]) -> list[str]:
    """Names in the order of the table, and behind them what is not in it, as it came."""
    places = {name: place for place, name in enumerate(COLUMNS)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def markdown() -> str:
    """The table of the documentation."""
    rows = ["| column | unit | meaning | filled in |", "|---|---|---|---|"]
    for name, meaning in COLUMNS.items():
        words = meaning.words.replace("c^-2", "c⁻²")
        shown = meaning.unit.replace("^2", "²").replace("e-/s", "e⁻/s")
        rows.append(f"| `{name}` | {shown} | {words} | {meaning.filled} |")
    return "\n".join(rows) + "\n"
