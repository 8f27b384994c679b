"""Models as templates of COOLEST, the standard of Galan et al. 2023 (JOSS 8, 5567).

Written from the definitions of the standard: angles are in degrees from the positive y axis towards
the negative x axis, from -90 to 90; axis ratios are minor over major; radii of ellipses are
``sqrt(q x^2 + y^2 / q)`` and so circularised, as ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from lensphys.export.profiles import read_profile
from lensphys.lens import ThinLens
from lensphys.light.sersic import b_n
from lensphys.rendering import Light

Values = dict[str, Any]
#: Name of a profile in the standard, and its parameters.
Profile = tuple[str, Values]

#: Index of the Sersic profile that is a Gaussian.
_GAUSSIAN = 0.5


def to_coolest(
    lens: ThinLens,
    source: Light | None,
    lens_light: Light | None,
    index: int = 0,
    *,
    shape: tuple[int, int],
    pixel_scale: float,
    z_lens: float | None = None,
    z_source: float | None = None,
    ra: float = 0.0,
    dec: float = 0.0,
) -> Values:
    """Convert one model of a batch into a template of COOLEST, ready for ``json.dump``.

    A main mass is ``SIE`` or ``PEMD``, a shear a mass field, an ``SIS`` an ``SIE`` that is round.
    Light is ``Sersic`` and ``Shapelets``; a Gaussian is a Sersic profile of index 0.5, with the
    ``b_n`` of :func:`lensphys.light.sersic.b_n`, which is that of the standard's own reader.
    Amplitudes are surface brightness, flux per arcsec^2. The y axis of the image is taken for
    North, and the negative x axis for East.

    Args:
        lens, source, lens_light: profiles, each of one image or of a batch.
        index: image of the batch.
        shape: of the image, (ny, nx).
        pixel_scale: of the image, arcsec.
        z_lens, z_source: redshifts; None where they are not known.
        ra, dec: place of the middle of the image, degrees.

    Raises:
        ValueError: for profiles that the standard has not.
    """
    masses = [_convert_mass(profile, index) for profile in lens.deflectors]
    shears = [profile for profile in masses if profile[0] == "ExternalShear"]
    galaxy = [profile for profile in masses if profile[0] != "ExternalShear"]
    entities = [
        _describe(0, "Galaxy", "lens", z_lens, galaxy, _convert_lights(lens_light, index)),
        _describe(1, "Galaxy", "source", z_source, [], _convert_lights(source, index)),
    ]
    if shears:
        entities.append(_describe(2, "MassField", "external shear", z_lens, shears, None))
    ny, nx = shape
    return {
        "standard": "COOLEST",
        "mode": "MAP",
        "coordinates_origin": {"ra": f"{ra:.8f}d", "dec": f"{dec:.8f}d"},
        "lensing_entities": entities,
        "observation": {
            "pixels": {
                "field_of_view_x": [-0.5 * nx * pixel_scale, 0.5 * nx * pixel_scale],
                "field_of_view_y": [-0.5 * ny * pixel_scale, 0.5 * ny * pixel_scale],
                "num_pix_x": nx,
                "num_pix_y": ny,
                "fits_file": {"path": None},
            },
            "noise": {"type": None},
            "exposure_time": None,
            "mag_zero_point": None,
            "mag_sky_brightness": None,
        },
        "instrument": {
            "name": "",
            "band": "",
            "pixel_size": pixel_scale,
            "readout_noise": 0.0,
            "psf": {"type": None, "description": None},
        },
        "cosmology": None,
        "likelihoods": None,
        "meta": {"program": "lensphys"},
    }


def _describe(
    number: int,
    kind: str,
    name: str,
    redshift: float | None,
    mass: Sequence[Profile],
    light: Sequence[Profile] | None,
) -> Values:
    """Describe a galaxy or a mass field; a field has no light."""
    entity: Values = {"type": kind, "name": name, "redshift": redshift}
    for model, profiles in (("mass", mass), ("light", light)):
        if profiles is None:
            continue
        written = []
        for place, (profile, values) in enumerate(profiles):
            own = f"{number}-{kind.lower()}-{model}-{place}-{profile}"
            parameters = {key: _write(f"{own}-{key}", value) for key, value in values.items()}
            written.append({"id": own, "type": profile, "parameters": parameters})
        entity[f"{model}_model"] = written
    return entity


def _write(name: str, value: Any) -> Values:
    found = {"id": name, "fixed": False, "point_estimate": {"value": value}}
    # A set of parameters says how many it has.
    return found | ({"num_values": len(value)} if isinstance(value, list) else {})


def _convert_mass(profile: Any, index: int) -> Profile:
    name, values = type(profile).__name__, read_profile(profile, index)
    if name == "Shear":
        return "ExternalShear", _turn(values["gamma1"], values["gamma2"], "gamma_ext", "phi_ext")
    if name in ("SIE", "EPL", "SIS"):
        kept = {key: values[key] for key in ("theta_E", "gamma") if key in values}
        return ("PEMD" if name == "EPL" else "SIE"), kept | _place(values)
    raise ValueError(
        f"COOLEST has no mass profile like {name}; fit without multipoles, with mass='SIE' or "
        "'EPL' and neighbours that are lp.SIE, lp.SIS or lp.EPL"
    )


def _convert_lights(light: Light | None, index: int) -> list[Profile]:
    parts: Sequence[Any] = (
        [] if light is None else light if isinstance(light, Sequence) else [light]
    )
    return [converted for part in parts for converted in _convert_light(part, index)]


def _convert_light(profile: Any, index: int) -> list[Profile]:
    kinds: dict[str, Callable[[Values], list[Profile]]] = {
        "Sersic": lambda v: [_name_sersic(v, v["amplitude"], v["R_sersic"], v["n_sersic"])],
        "Gaussian": lambda v: [_name_gaussian(v, v["amp"], v["sigma"])],
        "MultiGaussian": lambda v: [
            _name_gaussian(v, *each)
            for each in zip(v["amp"].tolist(), v["sigma"].tolist(), strict=True)
            if each[0]
        ],
        "Shapelets": lambda v: [
            ("Shapelets", {k: v[k] for k in ("n_max", "beta", "center_x", "center_y", "amps")})
        ],
    }
    name = type(profile).__name__
    if name not in kinds:
        raise ValueError(
            f"COOLEST files have no light profile like {name}; fit source='shapelets' or 'sersic'"
        )
    values = read_profile(profile, index)
    if name == "Shapelets":
        values |= {"n_max": profile.n_max, "amps": values["amp"].tolist()}
    return kinds[name](values)


def _name_sersic(values: Values, brightness: float, radius: float, n_sersic: float) -> Profile:
    shape = {"I_eff": brightness, "theta_eff": radius, "n": n_sersic}
    return "Sersic", shape | _place(values)


def _name_gaussian(values: Values, flux: float, sigma: float) -> Profile:
    """Gaussian of this flux, ``exp(-R^2 / (2 sigma^2))``, as a Sersic profile."""
    b = b_n(_GAUSSIAN)
    peak = flux / (2 * math.pi * sigma**2)
    return _name_sersic(values, peak * math.exp(-b), sigma * math.sqrt(2 * b), _GAUSSIAN)


def _place(values: Values) -> Values:
    """Axis ratio, angle and centre."""
    modulus = math.hypot(e1 := values.get("e1", 0.0), e2 := values.get("e2", 0.0))
    shape = _turn(e1, e2, "e", "phi") | {"q": (1 - modulus) / (1 + modulus)}
    return {key: shape[key] for key in ("q", "phi")} | {
        key: values[key] for key in ("center_x", "center_y")
    }


def _turn(first: float, second: float, size: str, angle: str) -> Values:
    """Modulus and angle of two components, from the positive y axis, -90 to 90 degrees."""
    from_x = math.degrees(0.5 * math.atan2(second, first))
    return {size: math.hypot(first, second), angle: from_x - 90 if from_x > 0 else from_x + 90}
