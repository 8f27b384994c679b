"""Columns of a table of predictions that say where an image is, and how what it shows is turned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn.inference.cutouts import Cutout
from learn.modelling.tables.axes import measure_axis
from learn.modelling.tables.sky import Sky, find_sky

#: Components of an axis to the name of the body; a source has no direction on the sky.
_AXES = {
    ("e1", "e2"): "lens",
    ("gamma1", "gamma2"): "shear",
    ("lens_light_e1", "lens_light_e2"): "lens_light",
    ("source_e1", "source_e2"): "source",
}
#: Units of the columns that are made here.
UNITS = {"ra": "deg", "dec": "deg"} | {
    f"{body}_{kind}": "deg" for body in _AXES.values() for kind in ("phi", "phi_error", "pa")
}


def find_skies(cutouts: Sequence[Cutout]) -> list[Sky | None]:
    """The sky behind what the network sees of each image; None where a file gives none."""
    skies = []
    for cutout in cutouts:
        frame = cutout.frame
        # A shape whose middle is that of the frame, in pixels of the original.
        ny, nx = (
            2 * edge + frame.step * (part.stop - part.start)
            for edge, part in zip(frame.corner, (frame.rows, frame.columns), strict=True)
        )
        skies.append(find_sky(cutout.wcs, (ny, nx), cutout.pixel_scale))
    return skies


def place_columns(skies: Sequence[Sky | None]) -> dict[str, NDArray[np.float64]]:
    """Right ascension and declination (ICRS, degrees) of the middle; NaN where it is not known."""
    places = [(math.nan, math.nan) if sky is None else sky.place() for sky in skies]
    ra, dec = np.array(places, np.float64).reshape(-1, 2).T
    return {"ra": ra, "dec": dec}


def angle_columns(
    columns: Mapping[str, NDArray[Any]], skies: Sequence[Sky | None]
) -> dict[str, NDArray[np.float64]]:
    """Directions of major axes in place of pairs of components, degrees.

    Args:
        columns: of a table, each (N,): pairs such as ``e1`` and ``e2`` with ``e1_error`` and
            ``e2_error``.
        skies: of the N images.

    Returns:
        ``lens_phi`` from +x towards +y, its error, and ``lens_pa`` East of North, NaN where the
        image has no place on the sky; likewise of each other pair.
    """
    found = {}
    for (first, second), body in _AXES.items():
        if not {first, second, f"{first}_error", f"{second}_error"} <= columns.keys():
            continue
        pairs = zip(columns[first], columns[second], strict=True)
        errors = zip(columns[f"{first}_error"], columns[f"{second}_error"], strict=True)
        axes = [
            measure_axis(float(one), float(two), np.diag(np.square(error)))
            for (one, two), error in zip(pairs, errors, strict=True)
        ]
        found[f"{body}_phi"] = np.array([axis.phi for axis in axes])
        found[f"{body}_phi_error"] = np.array([axis.phi_error for axis in axes])
        if body != "source":
            found[f"{body}_pa"] = np.array(
                [
                    math.nan
                    if sky is None or math.isnan(axis.phi)
                    else sky.position_angle(axis.phi)
                    for axis, sky in zip(axes, skies, strict=True)
                ]
            )
    return found
