"""Maps and curves of the page for one position of the sliders."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from learn.explore.knobs import Knob, Values, make_knobs, start_of_fit, values_of_fit
from learn.explore.observation import Observation
from learn.explore.settings import ExploreSettings
from learn.lens_fits.maps import measure_response, search_masses
from lensphys.cosmology import FlatDistances, theta_E_of_mass
from lensphys.detection.absorption import linearise
from lensphys.fitting.result import FitResult
from lensphys.psf import PSF

Map = NDArray[np.float32]
#: Pixels on a side of the grid on which critical curves are looked for.
_CURVE_PIXELS = 80
#: Sersic indices that a fit may take.
_INDICES = (0.5, 10.0)
#: Parameters without a slider: the centre of the lens light is that of the lens.
_CENTRE = "lens_light_center_"
#: Most steps of a fit that somebody waits for.
_STEPS = 60
#: Rounds of a fit beside a subhalo, whose change of the image depends on the fit.
_ROUNDS = 3
#: Planck 2018, the matter density of a flat universe.
_COSMOLOGY = FlatDistances(67.66, 0.30966)


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """Maps (ny, nx) and curves.

    Attributes:
        model: the image of the sliders, flux per pixel, without noise.
        image: the one that is there, or the model with noise.
        residual: of the image, in sigma: less the model; where there is no image, less the model
            without its subhalo.
        snr: of one more compact mass in each place, marginalised over lens and source.
        critical: x and y of each critical curve, arcsec.
        caustics: likewise of each caustic.
        chi2_dof: of the residual, per pixel that is not masked.
    """

    model: Map
    image: Map
    residual: Map
    snr: Map
    critical: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
    caustics: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
    chi2_dof: float


@dataclasses.dataclass(frozen=True)
class Switches:
    """The groups of sliders that count."""

    lens_light: bool = False
    subhalo: bool = False


class Explorer:
    """Lens and image of one page.

    Args:
        observation: the image that lies beside, or the frame of one.
        settings: the seed of the noise.
    """

    #: All groups of sliders.
    every = Switches(lens_light=True, subhalo=True)

    def __init__(self, observation: Observation, settings: ExploreSettings) -> None:
        self.observation = observation
        peak, noise = observation.level
        self.groups = make_knobs(
            observation.half,
            observation.pixel_scale,
            peak,
            noise,
            own_psf=observation.psf is not None,
            own_noise=observation.noise is not None,
        )
        self.knobs: dict[str, Knob] = {
            knob.name: knob for group in self.groups.values() for knob in group
        }
        self._x, self._y = lp.pixel_grid(
            observation.shape, observation.pixel_scale, dtype=torch.float64
        )
        generator = torch.Generator().manual_seed(settings.seed)
        self._noise = torch.randn(observation.shape, generator=generator, dtype=torch.float64)

    @property
    def start(self) -> dict[str, float]:
        """First positions of the sliders, by name."""
        return {name: knob.start for name, knob in self.knobs.items()}

    def subhalo(self, values: Values) -> lp.PointMass:
        """The subhalo of the sliders."""
        theta_E = theta_E_of_mass(
            10.0 ** values["log10_mass"],
            self.observation.z_lens,
            self.observation.z_source,
            _COSMOLOGY,
        )
        at = {f"center_{axis}": values[f"subhalo_{axis}"] for axis in "xy"}
        return lp.PointMass(theta_E=float(theta_E), **at)

    def psf(self, values: Values) -> PSF | None:
        """The PSF of the image, or of the slider."""
        if self.observation.psf is not None:
            return self.observation.psf
        if values["fwhm"] <= 0:
            return None
        return lp.GaussianPSF(fwhm=values["fwhm"], pixel_scale=self.observation.pixel_scale)

    def lens(self, values: Values, *, subhalo: bool) -> lp.ThinLens:
        """The lens of the sliders."""
        named = {name: values[name] for name in lp.EPL.parameter_names()}
        shear = lp.Shear(gamma1=values["gamma1"], gamma2=values["gamma2"])
        return lp.ThinLens([lp.EPL(**named), shear, *([self.subhalo(values)] if subhalo else [])])

    def view(self, values: Values, switches: Switches) -> View:
        """Everything that the page shows.

        Args:
            values: where the sliders stand, by name.
            switches: the groups that count.
        """
        smooth = self._render(values, switches, subhalo=False)
        model = self._render(values, switches, subhalo=True) if switches.subhalo else smooth
        image, sigma = self._image(model, values)
        # Without an image, the residual shows what a smooth lens does not explain.
        explained = smooth if self.observation.image is None else model
        result = self._fit(values, switches, image - explained + smooth, sigma, steps=0)
        residual = (image - explained) / sigma
        curves = self._curves(self.lens(values, subhalo=switches.subhalo))
        return View(
            _as_map(model),
            _as_map(image),
            _as_map(residual),
            self._search(result),
            [(curve.x.numpy(), curve.y.numpy()) for curve in curves],
            [(curve.beta_x.numpy(), curve.beta_y.numpy()) for curve in curves],
            float(residual.square().sum()) / max(int(sigma.isfinite().sum()), 1),
        )

    def fit(self, values: Values, switches: Switches) -> tuple[dict[str, float], bool]:
        """Fit lens, source and lens light to the image, from where the sliders stand.

        A subhalo that is on stays as it is, and the lens light keeps its centre.

        Args:
            values: where the sliders stand, by name.
            switches: the groups that count.

        Returns:
            Where the sliders stand then, and whether the fit has converged.

        Raises:
            ValueError: if there is no image.
        """
        if self.observation.image is None:
            raise ValueError("there is no image to fit: give one, `explore lens.fits`")
        moved, converged = dict(values), False
        image, sigma = self._image(torch.zeros(()), values)
        for _ in range(_ROUNDS if switches.subhalo else 1):
            change = torch.zeros(())
            if switches.subhalo:  # what it changes, near the model of before
                full, smooth = (
                    self._render(moved, switches, subhalo=subhalo) for subhalo in (True, False)
                )
                change = full - smooth
            result = self._fit(moved, switches, image - change, sigma, steps=_STEPS)
            params = {name: float(value[0]) for name, value in result.params.items()}
            moved |= values_of_fit(params, self.knobs)
            converged = bool(result.converged[0])
        return moved, converged

    def _render(self, values: Values, switches: Switches, *, subhalo: bool) -> Tensor:
        """The image of the sliders, without noise."""
        start = start_of_fit(values, lens_light=switches.lens_light)
        lights = {
            part: lp.Sersic(
                **{name: start[f"{part}_{name}"] for name in lp.Sersic.parameter_names()}
            )
            for part in ("source", *(["lens_light"] if switches.lens_light else []))
        }
        lens = self.lens(values, subhalo=subhalo)
        light = lights.get("lens_light")
        return lp.render(
            lens, lights["source"], self._x, self._y, psf=self.psf(values), lens_light=light
        )

    def _image(self, model: Tensor, values: Values) -> tuple[Tensor, Tensor]:
        """The image and its noise: those that are there, or the model with noise."""
        observation = self.observation
        if observation.image is not None and observation.noise is not None:
            return torch.from_numpy(observation.image), torch.from_numpy(observation.noise)
        sigma = torch.full_like(model, values["noise"])
        return model + sigma * self._noise, sigma

    def _fit(
        self, values: Values, switches: Switches, image: Tensor, sigma: Tensor, *, steps: int
    ) -> FitResult:
        """A fit of a smooth lens from where the sliders stand."""
        start = start_of_fit(values, lens_light=switches.lens_light)
        fixed = {name: value for name, value in start.items() if name.startswith(_CENTRE)}
        return lp.fit(
            image,
            sigma,
            pixel_scale=self.observation.pixel_scale,
            psf=self.psf(values),
            mass="EPL",
            lens_light="sersic" if switches.lens_light else None,
            start=start,
            fixed=fixed,
            bounds={name: self._bounds(name) for name in start if name not in fixed},
            max_steps=steps,
        )

    def _bounds(self, name: str) -> tuple[float, float]:
        """The range of a parameter: that of its slider and a little more."""
        knob = self.knobs.get(name) or self.knobs[f"log10_{name}"]
        if name.endswith("n_sersic"):
            return _INDICES
        low, high = knob.low, knob.high
        if knob.name.startswith("log10_"):
            return 10.0 ** (low - 1), 10.0 ** (high + 1)
        margin = 0.02 * (high - low)
        positive = low > 0
        return (max(low - margin, 0.5 * low) if positive else low - margin), high + margin

    def _curves(self, lens: lp.ThinLens) -> list[lp.CriticalCurve]:
        window = self.observation.pixel_scale * max(self.observation.shape)
        for width in (window, 2 * window):
            try:
                return lp.critical_curves(lens, window=width, n_pix=_CURVE_PIXELS)
            except ValueError:  # a curve leaves the window
                continue
        return []

    def _search(self, result: FitResult) -> Map:
        """S/N of one more compact mass."""
        index = torch.arange(1)
        params = torch.stack([result.params[name] for name in result.names], -1)
        near = linearise(result.problem, result.problem.bounds.inverse(params, index), index)
        maps = search_masses(near, measure_response(near, result.problem.pixels))
        return _as_map(maps.snr[0, 0].nan_to_num(0.0))


def _as_map(values: Tensor) -> Map:
    found: Map = values.detach().float().numpy()
    return np.where(np.isfinite(found), found, math.nan).astype(np.float32)
