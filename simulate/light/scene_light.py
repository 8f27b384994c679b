"""Light in a scene beside the smooth source: lens galaxies, look-alikes, real galaxies."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from simulate.config import SimulateConfig
from simulate.light.components import Components
from simulate.light.envelope import ENVELOPE_LABELS, add_envelope
from simulate.light.foreground import Foreground
from simulate.light.lens_light import LENS_LIGHT_LABELS, draw_lens_light
from simulate.light.look_alikes import StandsFor, draw_non_lens
from simulate.light.neighbours import NEIGHBOUR_LABELS, neighbour_light
from simulate.scenes import LIGHT, Scene, generator
from simulate.sources.structured import STRUCTURE_LABELS

if TYPE_CHECKING:
    from lensphys.instruments import Instrument
    from simulate.sources.galaxies import GalaxyImages

#: Columns that describe the image and not the lens: a non-lens has them too.
_OF_ANY_IMAGE = ("exposure_time", "psf_width", "psf_e1", "psf_e2", *NEIGHBOUR_LABELS)
#: Columns of a lens that its light follows, and those that light depends on.
_OF_MASS = ("theta_E", "e1", "e2", "center_x", "center_y")
_OF_LIGHT = (*_OF_MASS, "source_flux")
#: Columns of a drawn source, which a real galaxy does not have.
_OF_A_SERSIC = {"source_amplitude", "source_n_sersic", "source_e1", "source_e2", *STRUCTURE_LABELS}


def add_light(
    scene: Scene, config: SimulateConfig, camera: Instrument, galaxies: GalaxyImages | None
) -> Scene:
    """The scene with the light that a configuration asks for, and its labels.

    Images whose label is behind the classes have no lens: their lens columns become NaN.

    Raises:
        InputError: for a magnitude and an instrument without zero point.
    """
    if galaxies is None and not config.shines:
        return scene
    rngs = [generator(config, int(index), LIGHT) for index in scene.index]
    lensed = scene.label < len(config.classes)
    params = dict(scene.params)
    if galaxies is not None:
        chosen = torch.tensor([rng.integers(len(galaxies)) for rng in rngs])
        params["source_galaxy"] = torch.from_numpy(galaxies.number)[chosen].double()
        params["source_stamp"] = chosen.double()
        angles = [rng.uniform(0, 2 * math.pi) for rng in rngs]
        params["source_angle"] = torch.tensor(angles, dtype=torch.float64)
        # Stamps are turned only; a flip of the image, in augmentation, mirrors them.
        params["source_mirrored"] = torch.zeros(len(scene), dtype=torch.float64)
        for name in _OF_A_SERSIC & params.keys():
            params[name] = torch.full_like(params[name], math.nan)
        scene = dataclasses.replace(scene, structures=None)
    foreground = None
    if config.shines:
        names = (*_OF_LIGHT, *(n for n in NEIGHBOUR_LABELS if n in scene.params))
        # Lists at once: a number of a tensor takes microseconds.
        columns = {name: scene.params[name].tolist() for name in names}
        labels = scene.label.tolist()
        parts = []
        for i, rng in enumerate(rngs):
            one = {name: values[i] for name, values in columns.items()}
            one["theta_E"] *= scene.alpha_scale  # light follows the mass that the sky shows
            parts.append(_components(config, one, labels[i], rng, camera))
        foreground = Foreground.stack(parts)
        absent = torch.full((len(scene),), math.nan, dtype=torch.float64)
        names = LENS_LIGHT_LABELS + (("non_lens_kind",) if config.non_lens.fraction else ())
        names += ENVELOPE_LABELS if config.envelope_of_lens() else ()
        params |= {name: foreground.labels.get(name, absent) for name in names}
    if not lensed.all():
        for name in scene.params.keys() - set(_OF_ANY_IMAGE):
            params[name] = torch.where(lensed, params[name], math.nan)
    return dataclasses.replace(
        scene,
        params=params,
        foreground=foreground,
        lensed=None if lensed.all() else lensed.nonzero()[:, 0],
    )


def _components(
    config: SimulateConfig,
    columns: dict[str, float],
    label: int,
    rng: np.random.Generator,
    camera: Instrument,
) -> Components:
    """The light in the image plane of an image with these columns."""
    envelope = config.envelope_of_lens()
    if label == len(config.classes):
        lens = StandsFor(columns["theta_E"], columns["source_flux"])
        light = draw_non_lens(config.non_lens, config.lens_light, rng, camera, lens, envelope)
    else:
        mass = {name: columns[name] for name in _OF_MASS}
        light = draw_lens_light(config.lens_light, rng, camera, **mass)
        light = light if envelope is None else add_envelope(envelope, rng, light)
    if "neighbour_flux" not in columns:
        return light
    return Components((*light.profiles, *neighbour_light(columns)), light.labels)
