"""The columns of ``params``: unit, meaning, and the images that fill each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping

from simulate.substructure import SUBSTRUCTURES, substructure


@dataclasses.dataclass(frozen=True)
class Meaning:
    """Meaning of one column."""

    unit: str
    """empty: a pure number"""
    words: str
    filled: str
    """images in which it is not NaN"""
    after: str = ""
    """column of all classes behind which that of a class is shown; empty: behind the last of them
    """


_LENS, _PHYSICAL = "lenses", "lenses, `physical` and `realistic`"
_REALISTIC, _STRUCTURE = (
    "lenses, `realistic`",
    "lenses, `realistic`, but not with galaxies as sources",
)
_ALL_REALISTIC, _NEIGHBOUR = "`realistic`", "images with a neighbour, `realistic`"
_SERSIC = "lenses, but not with galaxies as sources"
_PADDED = "imported images, where some are smaller than the others"
_SHINES, _GALAXIES = "lenses that shine", "lenses, with galaxies as sources"

#: Columns of the presets and of imported data, in the order in which they are shown; those of
#: single classes stand with the classes.
_COLUMNS: dict[str, Meaning] = {
    "theta_E": Meaning(
        "arcsec",
        "Einstein radius, circularised, of the whole lens with its substructure; in `published` of "
        "the main lens, before the factor `alpha_scale`",
        _LENS,
    ),
    "theta_E_main": Meaning(
        "arcsec",
        "Einstein radius of the main lens: less than `theta_E` by the mass that the substructure "
        "has inside the ring; in `published` the same as `theta_E`",
        _LENS,
    ),
    "gamma": Meaning("", "slope of the density of the main lens; 2 is isothermal", _PHYSICAL),
    "e1": Meaning("", "ellipticity of the main lens, along x (positive) or y (negative)", _LENS),
    "e2": Meaning("", "ellipticity of the main lens, along the diagonals", _LENS),
    "center_x": Meaning("arcsec", "centre of the main lens", _LENS),
    "center_y": Meaning("arcsec", "centre of the main lens", _LENS),
    "gamma1": Meaning("", "external shear, along x (positive) or y (negative)", _LENS),
    "gamma2": Meaning("", "external shear, along the diagonals", _LENS),
    "a3_cos": Meaning("arcsec", "multipole of order 3, along cos(3 phi)", _REALISTIC),
    "a3_sin": Meaning("arcsec", "multipole of order 3, along sin(3 phi)", _REALISTIC),
    "a4_cos": Meaning("arcsec", "multipole of order 4, along cos(4 phi)", _REALISTIC),
    "a4_sin": Meaning("arcsec", "multipole of order 4, along sin(4 phi)", _REALISTIC),
    "substructure_mass": Meaning(
        "solar masses", "of all deflectors together; 0 in `no_sub`", _LENS
    ),
    "substructure_fraction": Meaning(
        "", "nominal, as drawn from the prior; 0 in `no_sub`", _PHYSICAL
    ),
    "substructure_fraction_ring": Meaning(
        "",
        "as it came out: the share of substructure in the mass inside the Einstein radius; 0 in "
        "`no_sub`",
        _PHYSICAL,
    ),
    "n_substructure": Meaning("", "number of deflectors; 0 in `no_sub`", _LENS),
    "perturbation_snr": Meaning(
        "",
        "S/N of the substructure: of the difference from the same lens without it, all pixels "
        "together, with noise taken as uncorrelated; 0 in `no_sub`",
        _PHYSICAL,
    ),
    "peak_snr": Meaning("", "S/N of the brightest pixel of the lensed source", _PHYSICAL),
    "source_center_x": Meaning("arcsec", "centre of the source, unlensed", _LENS),
    "source_center_y": Meaning("arcsec", "centre of the source, unlensed", _LENS),
    "source_magnitude": Meaning(
        "AB mag",
        "of the source, unlensed; only where the instrument has a zero point",
        "lenses of Models 2 and 3, `physical` and `realistic`",
    ),
    "source_flux": Meaning("e-/s", "of the source, unlensed", _LENS),
    "source_amplitude": Meaning(
        "e-/s/arcsec^2",
        "surface brightness of the source at `source_R_sersic`; in `realistic` of its smooth disc",
        _SERSIC,
    ),
    "source_R_sersic": Meaning(
        "arcsec",
        "half-light radius of the source, unlensed; circularised; in `realistic` of its disc",
        _LENS,
    ),
    "source_n_sersic": Meaning(
        "", "Sersic index of the source; in `realistic` of its disc", _SERSIC
    ),
    "source_e1": Meaning("", "ellipticity of the source, as `e1`", _SERSIC),
    "source_e2": Meaning("", "ellipticity of the source, as `e2`", _SERSIC),
    "source_bulge_share": Meaning("", "light of the bulge over that of the source", _STRUCTURE),
    "source_bulge_size": Meaning(
        "", "half-light radius of the bulge over that of the disc, `source_R_sersic`", _STRUCTURE
    ),
    "source_arms": Meaning("", "number of spiral arms", _STRUCTURE),
    "source_arm_contrast": Meaning(
        "",
        "strength of the arms: far out, crests are exp(2 `source_arm_contrast`) times as bright as "
        "between them",
        _STRUCTURE,
    ),
    "source_pitch": Meaning(
        "rad", "between arms and circles; beyond pi / 2 they wind the other way", _STRUCTURE
    ),
    "source_arm_angle": Meaning(
        "rad", "direction of an arm at the centre, in the plane of the disc", _STRUCTURE
    ),
    "source_n_clumps": Meaning("", "number of clumps", _STRUCTURE),
    "source_clump_share": Meaning("", "light of all clumps over that of the source", _STRUCTURE),
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
        "arcsec",
        "half-light radius of the lens galaxy, circularised; in `realistic` of its bulge",
        _SHINES,
    ),
    "lens_light_n_sersic": Meaning(
        "", "Sersic index of the lens galaxy; in `realistic` of its bulge", _SHINES
    ),
    "lens_light_e1": Meaning(
        "", "ellipticity of the light of the lens, as `e1`; in `realistic` of its bulge", _SHINES
    ),
    "lens_light_e2": Meaning(
        "", "ellipticity of the light of the lens, as `e2`; in `realistic` of its bulge", _SHINES
    ),
    "lens_light_center_x": Meaning("arcsec", "centre of the light of the lens", _SHINES),
    "lens_light_center_y": Meaning("arcsec", "centre of the light of the lens", _SHINES),
    "lens_light_disc_share": Meaning(
        "", "light of the disc about the bulge over `lens_light_flux`", _REALISTIC
    ),
    "lens_light_disc_R_sersic": Meaning(
        "arcsec",
        "half-light radius of that disc, circularised; `lens_light_R_sersic` is of the bulge",
        _REALISTIC,
    ),
    "lens_light_disc_e1": Meaning("", "ellipticity of that disc, as `e1`", _REALISTIC),
    "lens_light_disc_e2": Meaning("", "ellipticity of that disc, as `e2`", _REALISTIC),
    "neighbour_theta_E": Meaning(
        "arcsec",
        "Einstein radius of the galaxy beside the lens, an isothermal sphere; no part of `theta_E`",
        _NEIGHBOUR,
    ),
    "neighbour_center_x": Meaning("arcsec", "its centre", _NEIGHBOUR),
    "neighbour_center_y": Meaning("arcsec", "its centre", _NEIGHBOUR),
    "neighbour_flux": Meaning("e-/s", "of its light", _NEIGHBOUR),
    "neighbour_R_sersic": Meaning(
        "arcsec", "half-light radius of its light; circularised", _NEIGHBOUR
    ),
    "neighbour_n_sersic": Meaning("", "Sersic index of its light", _NEIGHBOUR),
    "neighbour_e1": Meaning("", "ellipticity of its light, as `e1`", _NEIGHBOUR),
    "neighbour_e2": Meaning("", "ellipticity of its light, as `e2`", _NEIGHBOUR),
    "psf_width": Meaning(
        "",
        "FWHM of the PSF, circularised, over that of the instrument, which is the attribute "
        "`psf_fwhm`",
        _ALL_REALISTIC,
    ),
    "psf_e1": Meaning("", "ellipticity of the PSF, as `e1`", _ALL_REALISTIC),
    "psf_e2": Meaning("", "ellipticity of the PSF, as `e2`", _ALL_REALISTIC),
    "non_lens_kind": Meaning(
        "", "0 single galaxy, 1 blend, 2 ring, 3 spiral, 4 edge-on disc", "`non_lens`"
    ),
    "exposure_time": Meaning("s", "in all; of non-lenses too", "all images"),
    "n_bad_pixels": Meaning("", "pixels that were filled in", "imported images"),
    "padding_left": Meaning("", "columns of padding, which show nothing", _PADDED),
    "padding_right": Meaning("", "the same, behind the image", _PADDED),
    "padding_bottom": Meaning("", "rows of padding before the first one that shows", _PADDED),
    "padding_top": Meaning("", "the same, behind the last one", _PADDED),
    "split": Meaning(
        "",
        "part of the published split, a position in the attribute `split_names`",
        "imported images with a split",
    ),
}


#: The last column of all classes before those of single classes.
_LAST = "n_substructure"


def known_columns() -> Mapping[str, Meaning]:
    """Every known column, those of the classes among them, in the order in which they are shown."""
    return _columns(tuple(SUBSTRUCTURES.items()))


@functools.cache
def _columns(registry: tuple[tuple[str, str], ...]) -> Mapping[str, Meaning]:
    classes = [substructure(name) for name, _ in registry]
    known: dict[str, Meaning] = {}
    for name, meaning in _COLUMNS.items():
        remarks = [one.remarks[name] for one in classes if name in one.remarks]
        words = ". ".join([meaning.words, *(["; ".join(remarks)] if remarks else [])])
        known[name] = dataclasses.replace(meaning, words=words)
        for one in classes:
            known |= {key: own for key, own in one.columns.items() if (own.after or _LAST) == name}
    return known


def unit(name: str) -> str:
    """Unit of a column; empty where it has none, or where it is not known."""
    known = known_columns()
    return known[name].unit if name in known else ""


def in_order(names: Iterable[str]) -> list[str]:
    """Names in the order of the table, and behind them what is not in it, as it came."""
    places = {name: place for place, name in enumerate(known_columns())}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def markdown() -> str:
    """The table of the documentation."""
    rows = ["| column | unit | meaning | filled in |", "|---|---|---|---|"]
    for name, meaning in known_columns().items():
        words = meaning.words.replace("c^-2", "c⁻²")
        shown = meaning.unit.replace("^2", "²").replace("e-/s", "e⁻/s")
        rows.append(f"| `{name}` | {shown} | {words} | {meaning.filled} |")
    return "\n".join(rows) + "\n"
