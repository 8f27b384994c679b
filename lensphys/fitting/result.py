"""Result of a fit: parameters with errors, the model and its residual."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lensphys.export.coolest import to_coolest
from lensphys.export.lenstronomy import to_lenstronomy
from lensphys.export.table import to_table
from lensphys.export.words import advise, summarise
from lensphys.fitting.problem import Problem, Scene
from lensphys.lens import ThinLens
from lensphys.rendering import Light

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class FitResult:
    """Result of a fit, for a batch of ``B`` images and ``P`` non-linear parameters.

    Attributes:
        params, errors: by parameter name, each ``(B,)``: values of the maximum of the likelihood
            (times the priors, if any), and their standard errors from the Fisher matrix; infinite
            if the data do not constrain a parameter, 0 if it is fixed.
        names: order of the parameters in ``covariance``.
        covariance: ``(B, P, P)``, the inverse of the Fisher matrix at the best fit. Behind
            shapelets it is widened by an estimate of what they lack.
        chi2_dof: ``(B,)``, chi^2 of the data over the number of pixels less ``effective``.
        converged: ``(B,)``, true if no step is expected to lower the objective by more than the
            tolerance: a minimum, perhaps a local one; ``chi2_dof`` tells if it explains the image.
        steps: ``(B,)``, evaluations of the model since the best starting point was chosen; with
            shapelets, of the model that was fitted last.
        model: best-fit images, ``(B, ny, nx)``.
        residual: ``(image - model) / sigma``, ``(B, ny, nx)``; 0 where a pixel is masked.
        scene: the model that was fitted.
        amplitudes: linear amplitudes that were solved for within each step: ``"source"`` (B, K),
            ``"lens_light"`` (B, L), ``"sky"`` (B, 1); none if all parameters are non-linear.
        effective: ``(B,)``, effective number of fitted parameters: their number, less what priors
            and regularisation fix.
        evidence: ``(B,)``, log evidence by Laplace's approximation, natural logarithm; see
            :func:`lensphys.fitting.posterior.compute_evidence`.
        priors: mean and standard deviation, each ``(B,)``, of the parameters with a Gaussian prior.
        problem: objective that was minimised.
    """

    params: dict[str, Tensor]
    errors: dict[str, Tensor]
    names: tuple[str, ...]
    covariance: Tensor
    chi2_dof: Tensor
    converged: Tensor
    steps: Tensor
    model: Tensor
    residual: Tensor
    scene: Scene
    amplitudes: dict[str, Tensor]
    effective: Tensor
    evidence: Tensor
    priors: dict[str, tuple[Tensor, Tensor]]
    problem: Problem = dataclasses.field(repr=False)

    @property
    def lens(self) -> ThinLens:
        """Best-fit lens."""
        return self.scene.lens(self._values)

    @property
    def source(self) -> Light:
        """Best-fit source, one light profile or several."""
        return self.scene.source(self._values)

    @property
    def lens_light(self) -> Light | None:
        """Best-fit light of the lens, or None if it was not fitted."""
        return self.scene.light(self._values)

    def parts(self) -> dict[str, Tensor]:
        """Blurred images ``(B, ny, nx)`` of the ``source``, the ``lens_light`` and the ``sky``.

        They add up to ``model``; a part that was not fitted is 0.
        """
        return self.scene.parts(self._values, self.problem.pixels)

    def __repr__(self) -> str:
        return summarise(self)

    def advice(self) -> list[list[str]]:
        """Advise on each lens whose fit is not to be trusted as it is; nothing on the others.

        A fit that has not converged, leaves a residual, fits too well, has a parameter at its
        bound or unconstrained, or whose source copies the image.
        """
        return advise(self)

    def plot(self, index: int = 0) -> Figure:
        """Draw one fit: image, model, residual, lens light taken off, source with caustics.

        Returns:
            A figure of matplotlib, which is not shown: ``figure.savefig("fit.png")``.

        Raises:
            ValueError: for an image that the batch does not have.
        """
        from lensphys.export.picture import plot

        return plot(self, self._check_index(index))

    def to_table(self) -> Table:
        """Parameters with errors and units as a table of astropy, one row a lens.

        Columns are each parameter and its ``<name>_error``, ``chi2_dof``, ``effective``,
        ``evidence`` and ``converged``.
        """
        return to_table(self)

    def to_lenstronomy(self, index: int = 0) -> dict[str, Any]:
        """Convert the model of one image into lenstronomy's lists of profiles and parameters.

        ``lens_model_list``, ``kwargs_lens``, ``source_light_model_list``, ``kwargs_source`` and so
        on; see :func:`lensphys.export.lenstronomy.to_lenstronomy`. The sky is left out.

        Raises:
            ValueError: for an image that the batch does not have.
        """
        index = self._check_index(index)
        return to_lenstronomy(self.lens, self.source, self.lens_light, index)

    def to_coolest(
        self,
        index: int = 0,
        *,
        z_lens: float | None = None,
        z_source: float | None = None,
        ra: float = 0.0,
        dec: float = 0.0,
    ) -> dict[str, Any]:
        """Convert the model of one image into a template of the standard COOLEST.

        ``json.dump(result.to_coolest(), file)`` writes it; see
        :func:`lensphys.export.coolest.to_coolest`. The sky, and errors, are left out.

        Args:
            index: image of the batch.
            z_lens, z_source: redshifts; None where they are not known.
            ra, dec: place of the middle of the image, degrees.

        Raises:
            ValueError: for profiles that the standard has not: multipoles, and pixels; and for an
                image that the batch does not have.
        """
        index = self._check_index(index)
        pixels = self.problem.pixels
        return to_coolest(
            self.lens,
            self.source,
            self.lens_light,
            index,
            shape=pixels.shape,
            pixel_scale=pixels.pixel_scale,
            z_lens=z_lens,
            z_source=z_source,
            ra=ra,
            dec=dec,
        )

    def _check_index(self, index: int) -> int:
        """Return the number of an image of the batch, from 0; negative ones count from the end."""
        count = len(self.chi2_dof)
        try:
            return range(count)[index]
        except (IndexError, TypeError):
            raise ValueError(
                f"index must be a whole number from 0 to {count - 1}, got {index!r}"
            ) from None

    @property
    def _values(self) -> dict[str, Tensor]:
        return {**self.params, **self.amplitudes}
