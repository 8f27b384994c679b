"""Least-squares problem of a batch of images: the objective of a fit and its derivatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from lensphys.fit_range import FitRange
from lensphys.fitting.bounds import Bounds
from lensphys.fitting.priors import Priors
from lensphys.fitting.scene import LensScene
from lensphys.lens import ThinLens
from lensphys.products import product
from lensphys.rendering import Light, Pixels
from lensphys.threads import map_chunks

#: Images evaluated at once; their derivatives then stay in the cache of a CPU.
_CHUNK = {"cpu": 16}
_CHUNK_ELSEWHERE = 512
#: Largest change of a transformed parameter in one step.
_MAX_STEP = 2.0


class Scene(Protocol):
    """Model that is fitted: profiles of given parameters and amplitudes, ``values`` by name."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the ``P`` non-linear parameters, in order."""

    @property
    def ranges(self) -> Mapping[str, FitRange]:
        """Fit range of every non-linear parameter."""

    def lens(self, values: Mapping[str, Tensor]) -> ThinLens:
        """Deflectors."""

    def source(self, values: Mapping[str, Tensor]) -> Light:
        """Light of the source."""

    def light(self, values: Mapping[str, Tensor]) -> Light | None:
        """Light of the lens, if it is fitted."""

    def parts(self, values: Mapping[str, Tensor], pixels: Pixels) -> dict[str, Tensor]:
        """Blurred images ``(B, ny, nx)`` of ``source``, ``lens_light`` and ``sky``."""


@dataclasses.dataclass(frozen=True)
class Linearisation:
    """First-order model of ``b`` images near given parameters.

    Attributes:
        jacobian: ``(b, N, ny, nx)``, derivatives of the model over sigma: by the ``P`` non-linear
            parameters (0 where one is fixed), then by the active linear amplitudes.
        precision: ``(b, N, N)``, inverse covariance of priors and regularisation; 0 where there is
            none.
        residual: ``(b, ny, nx)``, ``(image - model) / sigma``.
        slopes: ``(b, 2, Ny, Nx)``, gradient of the source brightness by the position in the source
            plane ``(beta_x, beta_y)`` at every ray, flux per arcsec^3. Light that is deflected by
            ``d`` more changes the brightness by ``-slopes . d``.
    """

    jacobian: Tensor
    precision: Tensor
    residual: Tensor
    slopes: Tensor


class Problem(Protocol):
    """Objective of the fit of a batch of images, a function of transformed parameters ``z``.

    Methods take the coordinates ``z`` ``(b, P)`` of :attr:`bounds`, and the ``index`` ``(b,)`` of
    the image that each row belongs to.

    Attributes:
        bounds, priors: of the parameters.
        pixels: of the images.
        images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``, 0 where a pixel is masked.
    """

    bounds: Bounds
    priors: Priors
    pixels: Pixels
    images: Tensor
    weight: Tensor

    @property
    def scene(self) -> Scene:
        """Model that is fitted."""

    def equations(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the objective, its normal matrix and its downhill gradient, float64.

        The objective ``(b,)`` is chi^2 with all penalties and priors, the gradient ``(b, P)`` is
        -1/2 of its derivative by ``z``, and the matrix ``(b, P, P)`` that of Gauss and Newton.
        """

    def energy(self, z: Tensor, index: Tensor) -> Tensor:
        """Compute minus the log posterior ``(b,)``, float64, up to a constant for each image.

        Half the objective, and half the log determinant of marginalised amplitudes, if there are
        any; the prior is flat in the parameters inside the bounds, but for those with a Gaussian
        one.
        """

    def marginalised(self) -> Problem:
        """Problem whose objective is twice the energy, up to a constant for each image."""

    def shorten(self, z: Tensor, step: Tensor, index: Tensor) -> Tensor:
        """Shorten a step ``(b, P)`` in ``z`` that leads further than the equations hold."""

    def linearise(self, z: Tensor, index: Tensor) -> Linearisation:
        """Expand the model to first order."""


class SersicProblem:
    """Weighted residuals of images of a :class:`~lensphys.fitting.scene.LensScene`.

    All its parameters are fitted, the amplitudes too. It meets the :class:`Problem` protocol.

    Args:
        scene, pixels, bounds, priors, images, weight: see :class:`Problem`.
    """

    def __init__(
        self,
        scene: LensScene,
        pixels: Pixels,
        bounds: Bounds,
        priors: Priors,
        images: Tensor,
        weight: Tensor,
    ) -> None:
        self.scene, self.pixels, self.bounds, self.priors = scene, pixels, bounds, priors
        self.images, self.weight = images, weight
        self.chunk = _CHUNK.get(images.device.type, _CHUNK_ELSEWHERE)

    def equations(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the objective, its normal matrix and its downhill gradient, float64."""
        parts = zip(z.split(self.chunk), index.split(self.chunk), strict=True)
        gram = torch.cat(map_chunks(self._gram, parts))
        objective, normal, gradient = gram[:, 0, 0], gram[:, 1:, 1:], gram[:, 0, 1:]
        if not self.priors.active.any():
            return objective, normal, gradient
        params, slope = self.bounds.forward(z, index)
        curvature = slope.double().square() * self.priors.precision(index)
        return (
            objective + self.priors.penalty(params, index),
            normal + torch.diag_embed(curvature),
            gradient + slope * self.priors.pull(params, index),
        )

    def _gram(self, z: Tensor, index: Tensor) -> Tensor:
        params, slope = self.bounds.forward(z, index)
        pixels = self.pixels.take(index)
        maps = self.scene.image_and_jacobian(self.scene.named(params), pixels)
        maps[:, 0] = self.images[index] - maps[:, 0]
        maps = maps.mul_(self.weight[index, None]).flatten(2)
        slope = torch.cat([torch.ones_like(slope[:, :1]), slope], 1).double()
        return product(maps, maps.mT).double() * slope[:, :, None] * slope[:, None]

    def chi2(self, objective: Tensor, z: Tensor) -> Tensor:
        """Chi^2 of the data of all images ``(B,)``: the objective at ``z`` less the priors."""
        everything = torch.arange(len(z), device=z.device)
        params, _ = self.bounds.forward(z, everything)
        return objective - self.priors.penalty(params, everything)

    def marginalised(self) -> SersicProblem:
        """The same: there are no amplitudes to be marginalised over."""
        return self

    def energy(self, z: Tensor, index: Tensor) -> Tensor:
        """Compute minus the log posterior, half the objective, ``(b,)``, float64."""

        def compute(z: Tensor, index: Tensor) -> Tensor:
            params, _ = self.bounds.forward(z, index)
            model = self.scene.image(self.scene.named(params), self.pixels.take(index))
            residual = (self.images[index] - model) * self.weight[index]
            chi2 = residual.double().square().sum((-2, -1))
            return 0.5 * (chi2 + self.priors.penalty(params, index))

        parts = zip(z.split(self.chunk), index.split(self.chunk), strict=True)
        return torch.cat(map_chunks(compute, parts))

    def shorten(self, z: Tensor, step: Tensor, index: Tensor) -> Tensor:
        """Shorten a step in ``z`` that leads further than the equations hold."""
        return step.clamp(-_MAX_STEP, _MAX_STEP)

    def linearise(self, z: Tensor, index: Tensor) -> Linearisation:
        """Expand the model to first order."""
        params, _ = self.bounds.forward(z, index)
        named, weight = self.scene.named(params), self.weight[index]
        maps = self.scene.image_and_jacobian(named, self.pixels.take(index))
        jacobian = maps[:, 1:] * weight[:, None]
        jacobian = jacobian * (~self.bounds.held).to(maps)[:, None, None]
        beta = self.scene.lens(named).ray_trace(self.pixels.x, self.pixels.y)
        _, by_source = self.scene.source(named).surface_brightness_jacobian(*beta)
        return Linearisation(
            jacobian=jacobian,
            precision=torch.diag_embed(self.priors.precision(index) * ~self.bounds.held).to(maps),
            residual=(self.images[index] - maps[:, 0]) * weight,
            # A source that moves by d and rays that move by -d look the same.
            slopes=-torch.stack([by_source["center_x"], by_source["center_y"]], 1),
        )

    def model(self, params: dict[str, Tensor]) -> Tensor:
        """Images ``(B, ny, nx)`` of parameters ``(B,)`` by name."""

        def draw(table: Tensor, index: Tensor) -> Tensor:
            return self.scene.image(self.scene.named(table), self.pixels.take(index))

        table = torch.stack(list(params.values()), -1)
        index = torch.arange(len(table), device=table.device)
        chunks = zip(table.split(self.chunk), index.split(self.chunk), strict=True)
        return torch.cat(map_chunks(draw, chunks))

    def gradient(self, z: Tensor, index: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """Half the downhill gradient of the objective in ``z``, differentiable by its floats."""
        params, slope = self.bounds.forward(z, index)
        maps = self.scene.image_and_jacobian(self.scene.named(params), self.pixels.take(index))
        pull = (images - maps[:, 0]) * weight * weight
        by_data = (maps[:, 1:] * pull[:, None]).sum((-2, -1))
        return slope * (by_data + self.priors.pull(params, index).to(by_data))
