"""Augmentation of lens images: the picture changes, and the labels with it.

Zooms are not offered: they change the Einstein radius, which is what an image of a lens is about.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor

from lensphys.ground.errors import InputError
from simulate.augment.lens_batch import LensBatch
from simulate.augment.transforms import add_noise, add_offset, broaden, shift, turn

#: A number, or the two ends of a range that each image draws from uniformly.
Amount: TypeAlias = float | tuple[float, float]


class Augmentation(Protocol):
    """A random change of images.

    All random numbers come from the generator, and are drawn where it is: one on the CPU gives the
    same ones to images on any device.
    """

    @property
    def keeps_theta_E(self) -> bool:
        """True where the Einstein radius in the image stays what it was."""

    @property
    def keeps_labels(self) -> bool:
        """True where the columns of the lens, the source and the substructure stay as they are.

        Otherwise they change with the image, and still describe it.
        """

    @property
    def keeps_snr(self) -> bool:
        """True where columns named ``*snr`` stay as they are; otherwise they become NaN."""

    def apply(self, batch: LensBatch, generator: torch.Generator) -> LensBatch:
        """The changed images with their labels; ``batch`` is left as it was."""


@dataclasses.dataclass(frozen=True)
class Compose:
    """One augmentation after another.

    Args:
        augmentations: from the first to the last.
    """

    augmentations: tuple[Augmentation, ...]

    @property
    def keeps_theta_E(self) -> bool:
        """True where all of them do."""
        return all(each.keeps_theta_E for each in self.augmentations)

    @property
    def keeps_labels(self) -> bool:
        """True where all of them do."""
        return all(each.keeps_labels for each in self.augmentations)

    @property
    def keeps_snr(self) -> bool:
        """True where all of them do."""
        return all(each.keeps_snr for each in self.augmentations)

    def apply(self, batch: LensBatch, generator: torch.Generator) -> LensBatch:
        """The images after all of them, with their labels."""
        for each in self.augmentations:
            batch = each.apply(batch, generator)
        return batch


@dataclasses.dataclass(frozen=True)
class Symmetry:
    """Each image turned and flipped, by one of the eight symmetries of the square at random.

    Exact for the images, ``image_lr`` too. Keeps theta_E and ``*snr``; positions, ellipticities,
    shear, angles and padding turn with the image.
    """

    keeps_theta_E: ClassVar[bool] = True
    keeps_labels: ClassVar[bool] = False
    keeps_snr: ClassVar[bool] = True

    def apply(self, batch: LensBatch, generator: torch.Generator) -> LensBatch:
        """The turned images with their labels.

        Raises:
            InputError: for images that are not square.
        """
        symmetry = torch.randint(
            8, (len(batch.image),), generator=generator, device=generator.device
        )
        return turn(batch, symmetry)


@dataclasses.dataclass(frozen=True)
class Shift:
    """Each image moved by whole pixels, ``image_lr`` by as many arcsec, whole pixels too.

    Fractions of a pixel would have to be interpolated, which pixels of the width of the PSF are too
    coarse for. Half a pixel (of ``image_lr``, where there is one) and less moves nothing.

    Keeps theta_E. Positions in the lens plane move along; the source moves by ``d - Gamma d``,
    since the shear (with matrix ``Gamma``) is counted from the centre of the image, and does not
    move. What comes in at an edge mirrors what is inside; padding moves along. ``*snr`` become NaN:
    light is lost at the edges, and the brightest pixel is another mean of the same light.

    Args:
        max_shift: along each axis, arcsec; shifts are uniform between this and its negative, then
            rounded to whole pixels.

    Raises:
        InputError: for a shift that is negative or not finite.
    """

    max_shift: float

    keeps_theta_E: ClassVar[bool] = True
    keeps_labels: ClassVar[bool] = False
    keeps_snr: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.max_shift < math.inf:
            raise InputError(f"max_shift must be finite and not below 0, got {self.max_shift}")

    def apply(self, batch: LensBatch, generator: torch.Generator) -> LensBatch:
        """The moved images with their labels.

        Raises:
            InputError: for shifts of half the field or more.
        """
        range_ = (-self.max_shift, self.max_shift)
        dx, dy = (_draw(range_, batch.image, generator) for _ in range(2))
        return shift(batch, dx, dy)


@dataclasses.dataclass(frozen=True)
class ExtraNoise:
    """Gaussian noise on top, independent from pixel to pixel.

    Keeps theta_E and the labels. ``*snr`` become NaN: how far they fall depends on the shot noise,
    which the columns do not hold.

    Args:
        sigma: standard deviation in a pixel of ``image``, in its unit; in the wider pixels of
            ``image_lr`` larger in proportion to their width, as the noise of the sky is.
        snr_factor: the factor, 1 or more, by which the background-limited S/N falls, in ``image``
            and in ``image_lr``; needs images whose background noise is known.

    Raises:
        InputError: unless exactly one of them is given, in its range.
    """

    sigma: Amount | None = None
    snr_factor: Amount | None = None

    keeps_theta_E: ClassVar[bool] = True
    keeps_labels: ClassVar[bool] = True
    keeps_snr: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if (self.sigma is None) == (self.snr_factor is None):
            raise InputError("extra noise needs either sigma or snr_factor")
        if self.sigma is not None:
            _check_amount("sigma", self.sigma, low=0.0)
        if self.snr_factor is not None:
            _check_amount("snr_factor", self.snr_factor, low=1.0)

    def apply(self, batch: LensBatch, generator: torch.Generator) -> LensBatch:
        """The noisier images, whose labels stay.

        Raises:
            InputError: with ``snr_factor``, for images without or of unknown background noise.
        """
        if self.sigma is not None:
            sigma = _draw(self.sigma, batch.image, generator)
            low = batch.optics_lr
            wider = 1.0 if low is None else low.pixel_scale / batch.optics.pixel_scale
            return add_noise(batch, generator, sigma, wider * sigma)
        assert self.snr_factor is not None
        factor = _draw(self.snr_factor, batch.image, generator)
        extra = torch.sqrt(factor**2 - 1)
        known = [optics.background_sigma for optics in (batch.optics, batch.optics_lr) if optics]
        if not all(bool((sigma > 0).all()) for sigma in known):
            raise InputError(
                "snr_factor needs images whose background noise is known (after a blur or "
                "drizzling it is not) and not zero; give sigma"
            )
        return add_noise(batch, generator, extra * known[0], extra * known[-1])


@dataclasses.dataclass(frozen=True)
class Broaden:
    """The PSF made wider, by a Gaussian of the width that is missing in quadrature.

    ``image_lr`` is blurred by the same Gaussian. Keeps theta_E and the labels of lens, source and
    substructure. ``psf_width`` and ``psf_e1``, ``psf_e2``, of the true PSF, are those afterwards,
    over ``fwhm``, as for Gaussians. ``*snr`` become NaN.
    Noise that is in the images already is smoothed with the light, and correlated afterwards: add
    noise after this, not before.

    Args:
        fwhm: full width at half maximum of the PSF of ``image`` afterwards, arcsec.

    Raises:
        InputError: for a width that is not positive and finite.
    """

    fwhm: Amount

    keeps_theta_E: ClassVar[bool] = True
    keeps_labels: ClassVar[bool] = True
    keeps_snr: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_amount("fwhm", self.fwhm, low=0.0, open_low=True)

    def apply(self, batch: LensBatch, generator: torch.Generator) -> LensBatch:
        """The blurred images, with the labels of their PSF.

        Raises:
            InputError: for a width below that of an image, or images of unknown width.
        """
        return broaden(batch, _draw(self.fwhm, batch.image, generator))


@dataclasses.dataclass(frozen=True)
class Offset:
    """A constant on all pixels of an image: a sky that was not subtracted rightly.

    Keeps theta_E, the labels and ``*snr``, which count the light of the lens system.

    Args:
        offset: on a pixel of ``image``, in its unit; on the pixels of ``image_lr`` larger in
            proportion to their area.

    Raises:
        InputError: for an offset that is not finite.
    """

    offset: Amount

    keeps_theta_E: ClassVar[bool] = True
    keeps_labels: ClassVar[bool] = True
    keeps_snr: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_amount("offset", self.offset, low=-math.inf)

    def apply(self, batch: LensBatch, generator: torch.Generator) -> LensBatch:
        """The brighter or darker images, whose labels stay."""
        return add_offset(batch, _draw(self.offset, batch.image, generator))


def _draw(amount: Amount, images: Tensor, generator: torch.Generator) -> Tensor:
    """The amount for each image, (B,) float64 on their device."""
    low, high = amount if isinstance(amount, tuple) else (amount, amount)
    if low == high:
        return torch.full((len(images),), low, dtype=torch.float64, device=images.device)
    uniform = torch.rand(
        len(images), generator=generator, dtype=torch.float64, device=generator.device
    )
    return (low + (high - low) * uniform).to(images.device)


def _check_amount(name: str, amount: Amount, *, low: float, open_low: bool = False) -> None:
    ends = amount if isinstance(amount, tuple) else (amount, amount)
    finite = len(ends) == 2 and all(math.isfinite(end) for end in ends)
    if not finite or ends[0] > ends[1] or ends[0] < low or (open_low and ends[0] == low):
        bound = "" if low == -math.inf else f", {'above' if open_low else 'not below'} {low:g}"
        raise InputError(
            f"{name} must be a finite number or a range (low, high){bound}, got {amount}"
        )
