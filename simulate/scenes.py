"""The scene table: everything that is drawn at random about a batch of images."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from lensphys import cosmology
from simulate import substructure
from simulate.config import CosmologyConfig, SimulateConfig
from simulate.errors import InputError
from simulate.instruments import Instrument, instrument

if TYPE_CHECKING:
    from astropy.cosmology import FLRW

#: Independent random streams of one image.
SCENE, NOISE, NOISE_LOW_RESOLUTION = range(3)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A batch of B lens systems; float64 on the CPU, angles in arcsec, masses in solar masses."""

    index: Tensor
    """(B,) number of the image in the data set"""
    label: Tensor
    """(B,) position in ``config.classes``"""
    params: dict[str, Tensor]
    """(B,) columns under lenstronomy's names; NaN where a column does not apply"""
    theta_E: Tensor
    """(B, K) Einstein radii of the point masses of the substructure; 0 where there is none"""
    x: Tensor
    """(B, K) their positions"""
    y: Tensor
    """(B, K)"""
    alpha_scale: float
    """factor on all deflections, see :func:`lensphys.cosmology.alpha_scale`"""

    def __len__(self) -> int:
        return len(self.index)


def generator(config: SimulateConfig, index: int, stream: int) -> np.random.Generator:
    """The random numbers of one image: a function of model, seed, image number and stream only.

    The model enters, so that the images of two models with one seed are independent.
    """
    key = np.array([_data_set_key(config.seed, config.model), index], np.uint64)
    bits = np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], np.uint64))
    return np.random.Generator(bits)


@functools.cache
def _data_set_key(seed: int, model: int) -> int:
    return int(np.random.SeedSequence([seed, model]).generate_state(1, np.uint64)[0])


class Prior:
    """Draws scenes from the distributions of a configuration.

    Raises:
        InputError: on creation, for a configuration that describes no lens.
    """

    def __init__(self, config: SimulateConfig) -> None:
        self.config = config
        self.instrument = instrument(config.instrument)
        lens, scale = config.lens, config.lens.mass_scale
        try:
            self._theta_E_unit = cosmology.theta_E_of_mass(
                1.0,
                lens.z_lens,
                lens.z_source,
                _cosmology(scale.cosmology),
                distances=scale.distances,
            )
            self.alpha_scale = (
                1.0
                if lens.z_source_convention is None
                else float(
                    cosmology.alpha_scale(
                        lens.z_lens,
                        lens.z_source,
                        lens.z_source_convention,
                        _cosmology(lens.cosmology),
                    )
                )
            )
        except ValueError as error:
            raise InputError(f"lens: {error}") from None
        self._constant = self._constant_params(self.instrument)

    def theta_E(self, mass: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Einstein radius of a point mass in solar masses, arcsec."""
        return np.asarray(self._theta_E_unit * np.sqrt(mass))

    def draw(self, start: int, stop: int) -> Scene:
        """The scenes of images ``start`` to ``stop - 1``."""
        drawn = [self._draw_one(index) for index in range(start, stop)]
        params = {
            name: torch.full((len(drawn),), value, dtype=torch.float64)
            for name, value in self._constant.items()
        }
        for name in dict.fromkeys(name for row, _ in drawn for name in row):
            values = [row.get(name, np.nan) for row, _ in drawn]
            params[name] = torch.tensor(values, dtype=torch.float64)
        # Mass, x and y of the substructure, padded with masses of zero.
        padded = np.zeros((3, len(drawn), max(masses.shape[1] for _, masses in drawn)))
        for i, (_, masses) in enumerate(drawn):
            padded[:, i, : masses.shape[1]] = masses
        # Summed without the padding, which depends on the other images and changes the rounding.
        total = [masses[0].sum() for _, masses in drawn]
        params["substructure_mass"] = torch.tensor(total, dtype=torch.float64)
        params["n_substructure"] = torch.from_numpy(np.count_nonzero(padded[0], axis=1) * 1.0)
        padded[0] = self.theta_E(padded[0])
        theta_E, x, y = torch.from_numpy(padded)
        index = torch.arange(start, stop)
        label = index % len(self.config.classes)
        return Scene(index, label, params, theta_E, x, y, self.alpha_scale)

    def _draw_one(self, index: int) -> tuple[dict[str, float], substructure.PointMasses]:
        config = self.config
        rng = generator(config, index, SCENE)
        half = config.source.center_half_width
        row = {
            "source_center_x": rng.uniform(-half, half),
            "source_center_y": rng.uniform(-half, half),
        }
        if config.exposure_log10 is not None:
            row["exposure_time"] = 10 ** rng.uniform(*config.exposure_log10)
        label = config.classes[index % len(config.classes)]
        masses, of_class = substructure.DRAWS[label](config, rng)
        return row | of_class, masses

    def _constant_params(self, camera: Instrument) -> dict[str, float]:
        lens, source = self.config.lens, self.config.source
        if (source.amplitude is None) == (source.magnitude is None):
            raise InputError("source: give either amplitude or magnitude, and null for the other")
        amplitude = source.amplitude
        if amplitude is None:
            assert source.magnitude is not None
            unit_flux = lp.sersic_total_flux(1.0, source.R_sersic, source.n_sersic)
            amplitude = camera.flux(source.magnitude) / unit_flux
        return {
            "theta_E": float(self.theta_E(lens.mass)),
            "e1": lens.e1,
            "e2": lens.e2,
            "center_x": 0.0,
            "center_y": 0.0,
            "gamma1": lens.gamma1,
            "gamma2": lens.gamma2,
            "source_amplitude": amplitude,
            "source_R_sersic": source.R_sersic,
            "source_n_sersic": source.n_sersic,
            "source_e1": source.e1,
            "source_e2": source.e2,
            "exposure_time": camera.total_exposure or np.nan,
            # Columns that only the class "axion" fills.
            "axion_mass": np.nan,
            "log10_axion_mass": np.nan,
            "vortex_angle": np.nan,
            "vortex_half_length": np.nan,
        }


def _cosmology(config: CosmologyConfig) -> FLRW:
    return cosmology.flat_lambda_cdm(config.H0, config.Om0, config.Ob0)
