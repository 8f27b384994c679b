"""Augmentation of lens images: the picture changes, and the labels with it.

Zooms are not offered: they change the Einstein radius, which is what an image of a lens is about.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import ClassVar, Protocol, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.psf import FWHM_PER_SIGMA
from simulate.errors import InputError
from simulate.shards import DataSet

#: A number, or the two ends of a range that each image draws from uniformly.
Amount: TypeAlias = float | tuple[float, float]
Params: TypeAlias = dict[str, Tensor]

#: Observations without noise, see :mod:`simulate.observe`.
_NOISELESS = ("noise_free", "doubled")
#: Angles of what looks the same after half a turn.
_OF_LINES = ("vortex_angle",)


@dataclasses.dataclass(frozen=True, eq=False)
class Optics:
    """What is known of the pixels, the PSF and the noise of a batch of B images.

    Attributes:
        pixel_scale: width of a pixel, arcsec.
        psf_fwhm: (B,) full width at half maximum of the PSF, arcsec; NaN where it is not known.
        background_sigma: (B,) standard deviation of the uncorrelated Gaussian noise of dark pixels,
            in the unit of the images; NaN where it is not known, 0 for images without noise.

    Raises:
        InputError: for a pixel scale that is not positive and finite.
    """

    pixel_scale: float
    psf_fwhm: Tensor
    background_sigma: Tensor

    def __post_init__(self) -> None:
        if not 0 < self.pixel_scale < math.inf:
            raise InputError(f"pixel_scale must be positive and finite, got {self.pixel_scale}")


@dataclasses.dataclass(frozen=True, eq=False)
class LensBatch:
    """Images of B lenses with their labels, all on one device.

    Attributes:
        image: (B, 1, H, W) flux per pixel.
        params: (B,) columns under the names of a data set; NaN where one does not apply.
        optics: of ``image``.
        image_lr: (B, 1, h, w) the same field at lower resolution, or None.
        optics_lr: of ``image_lr``.
        alpha_scale: factor on all deflections, an attribute of the data set.

    Raises:
        InputError: for arrays of other shapes, and ``image_lr`` without ``optics_lr`` or the other
            way round.
    """

    image: Tensor
    params: Params
    optics: Optics
    image_lr: Tensor | None = None
    optics_lr: Optics | None = None
    alpha_scale: float = 1.0

    def __post_init__(self) -> None:
        if (self.image_lr is None) != (self.optics_lr is None):
            raise InputError("image_lr and optics_lr go together: give both or neither")
        images = {"image": self.image}
        columns = self.params | _columns("optics", self.optics)
        if self.image_lr is not None and self.optics_lr is not None:
            images["image_lr"] = self.image_lr
            columns |= _columns("optics_lr", self.optics_lr)
        count = len(self.image)
        for name, stack in images.items():
            wanted = stack.ndim == 4 and stack.shape[:2] == (count, 1) and stack.numel() > 0
            if not (wanted and stack.is_floating_point()):
                raise InputError(
                    f"{name} must be floating-point and of shape ({count}, 1, H, W), got "
                    f"{stack.dtype} {tuple(stack.shape)}"
                )
        for name, values in columns.items():
            if values.shape != (count,):
                raise InputError(
                    f"{name} must have one value for each of {count} images, got shape "
                    f"{tuple(values.shape)}"
                )

    @classmethod
    def of(
        cls,
        data: DataSet,
        indices: NDArray[np.int64] | slice = slice(None),
        device: torch.device | str = "cpu",
    ) -> Self:
        """Images of a data set by their indices; the optics are those in its attributes.

        The noise of images in counts, where shot noise is drawn twice, is taken as unknown.
        """
        attrs = data.attrs
        image = torch.from_numpy(data.image[indices]).to(device)
        params = {
            name: torch.from_numpy(values[indices]).to(device)
            for name, values in data.params.items()
        }

        def optics(suffix: str) -> Optics:
            sigma = math.nan
            if data.config.get("observation") in _NOISELESS:
                sigma = 0.0
            elif attrs.get("unit") == "e-/s":
                sigma = float(attrs.get(f"background_sigma{suffix}", math.nan))
            fwhm = float(attrs.get(f"psf_fwhm{suffix}", math.nan))
            columns = (image.new_full((len(image),), v, dtype=torch.float64) for v in (fwhm, sigma))
            return Optics(float(attrs[f"pixel_scale{suffix}"]), *columns)

        low = None if data.image_lr is None else torch.from_numpy(data.image_lr[indices]).to(device)
        return cls(
            image,
            params,
            optics(""),
            low,
            None if low is None else optics("_lr"),
            float(attrs.get("alpha_scale", 1.0)),
        )


def _columns(name: str, optics: Optics) -> dict[str, Tensor]:
    return {
        f"{name}.psf_fwhm": optics.psf_fwhm,
        f"{name}.background_sigma": optics.background_sigma,
    }


class Augmentation(Protocol):
    """A random change of images. All random numbers come from the generator."""

    @property
    def keeps_theta_E(self) -> bool:
        """Whether the Einstein radius in the image stays what it was."""

    @property
    def keeps_labels(self) -> bool:
        """Whether the columns of the lens, the source and the substructure stay as they are.

        Where not, they are changed with the image, and still describe it.
        """

    @property
    def keeps_snr(self) -> bool:
        """Whether columns named ``*snr`` stay as they are; where not, they become NaN."""

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
        """Whether all of them do."""
        return all(each.keeps_theta_E for each in self.augmentations)

    @property
    def keeps_labels(self) -> bool:
        """Whether all of them do."""
        return all(each.keeps_labels for each in self.augmentations)

    @property
    def keeps_snr(self) -> bool:
        """Whether all of them do."""
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
    shear and angles turn with the image.
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
            8, (len(batch.image),), generator=generator, device=_home(generator)
        )
        return turn(batch, symmetry)


@dataclasses.dataclass(frozen=True)
class Shift:
    """Each image moved by fractions of a pixel, ``image_lr`` by as many arcsec.

    Keeps theta_E. Positions in the lens plane move along; the source moves by ``d - Gamma d``,
    since the shear (with matrix ``Gamma``) is counted from the centre of the image, and does not
    move. What comes in at an edge mirrors what is inside. ``*snr`` become NaN: light is lost at the
    edges, and the brightest pixel is another mean of the same light.

    Args:
        max_shift: along each axis, arcsec; shifts are uniform between this and its negative.

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
        dx, dy = (_drawn(range_, batch.image, generator) for _ in range(2))
        return shift(batch, dx, dy)


@dataclasses.dataclass(frozen=True)
class ExtraNoise:
    """Gaussian noise on top, independent from pixel to pixel.

    Keeps theta_E and the labels. ``*snr`` become NaN: how far they fall depends on the shot noise,
    which the columns do not tell.

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
            sigma = _drawn(self.sigma, batch.image, generator)
            low = batch.optics_lr
            wider = 1.0 if low is None else low.pixel_scale / batch.optics.pixel_scale
            return add_noise(batch, generator, sigma, wider * sigma)
        assert self.snr_factor is not None
        factor = _drawn(self.snr_factor, batch.image, generator)
        extra = torch.sqrt(factor**2 - 1)
        known = [optics.background_sigma for optics in (batch.optics, batch.optics_lr) if optics]
        if not all(bool((sigma > 0).all()) for sigma in known):
            raise InputError(
                "snr_factor needs images whose background noise is known (after a blur it is not) "
                "and not zero; give sigma"
            )
        return add_noise(batch, generator, extra * known[0], extra * known[-1])


@dataclasses.dataclass(frozen=True)
class Broaden:
    """The PSF made wider, by a Gaussian of the width that is missing in quadrature.

    ``image_lr`` is blurred by the same Gaussian. Keeps theta_E and the labels. ``*snr`` become NaN.
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
        """The blurred images, whose labels stay.

        Raises:
            InputError: for a width below that of an image, or images of unknown width.
        """
        return broaden(batch, _drawn(self.fwhm, batch.image, generator))


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
        return add_offset(batch, _drawn(self.offset, batch.image, generator))


def turn(batch: LensBatch, symmetry: Tensor) -> LensBatch:
    """Images and labels under symmetries of the square, numbered as in :func:`turned`.

    Raises:
        InputError: for images that are not square, or a number outside 0 ... 7.
    """
    symmetry = symmetry.to(batch.image.device)
    if bool(((symmetry < 0) | (symmetry > 7)).any()):
        raise InputError("the symmetries of the square have the numbers 0 to 7")
    low = batch.image_lr
    return dataclasses.replace(
        batch,
        image=turned(batch.image, symmetry),
        image_lr=None if low is None else turned(low, symmetry),
        params=_turned_params(batch.params, symmetry),
    )


def shift(batch: LensBatch, dx: Tensor, dy: Tensor) -> LensBatch:
    """Images and labels moved by ``dx, dy`` (B,) arcsec; see :class:`Shift`.

    Raises:
        InputError: for shifts of half the field or more.
    """
    field = 0.5 * batch.optics.pixel_scale * min(batch.image.shape[-2:])
    if not bool((torch.maximum(dx.abs(), dy.abs()) < field).all()):
        raise InputError(f"shifts must stay below half the field, {field:g} arcsec")
    low, optics_lr = batch.image_lr, batch.optics_lr
    if low is not None and optics_lr is not None:
        low = shifted(low, dx / optics_lr.pixel_scale, dy / optics_lr.pixel_scale)
    scale = batch.optics.pixel_scale
    return dataclasses.replace(
        batch,
        image=shifted(batch.image, dx / scale, dy / scale),
        image_lr=low,
        params=_without_snr(_shifted_params(batch.params, dx, dy, batch.alpha_scale)),
    )


def add_noise(
    batch: LensBatch, generator: torch.Generator, sigma: Tensor, sigma_lr: Tensor
) -> LensBatch:
    """Noise of standard deviation ``sigma`` (B,) on ``image``, ``sigma_lr`` on ``image_lr``."""

    def noisier(image: Tensor, sigma: Tensor) -> Tensor:
        normal = torch.randn(
            image.shape, generator=generator, dtype=image.dtype, device=_home(generator)
        )
        return torch.addcmul(image, _as_maps(sigma, image), normal.to(image.device))

    def optics(before: Optics, sigma: Tensor) -> Optics:
        return dataclasses.replace(
            before, background_sigma=torch.hypot(before.background_sigma, sigma)
        )

    low, optics_lr = batch.image_lr, batch.optics_lr
    return dataclasses.replace(
        batch,
        image=noisier(batch.image, sigma),
        optics=optics(batch.optics, sigma),
        image_lr=None if low is None else noisier(low, sigma_lr),
        optics_lr=None if optics_lr is None else optics(optics_lr, sigma_lr),
        params=_without_snr(batch.params),
    )


def broaden(batch: LensBatch, fwhm: Tensor) -> LensBatch:
    """Images whose PSF has the width ``fwhm`` (B,), arcsec; see :class:`Broaden`.

    Raises:
        InputError: for a width below that of an image, or images of unknown width.
    """
    before = batch.optics.psf_fwhm
    if bool(before.isnan().any()):
        raise InputError("the width of the PSF of the images is not known; give optics.psf_fwhm")
    # A width that was given in single precision is not refused for its rounding.
    if bool((fwhm < (1 - 1e-6) * before).any()):
        raise InputError(
            f"the PSF can only become wider: fwhm {fwhm.min().item():g} arcsec is below the "
            f"{before.max().item():g} arcsec of the images"
        )
    missing = torch.sqrt((fwhm - before).clamp_min(0) * (fwhm + before))

    def optics(before: Optics) -> Optics:
        sigma = before.background_sigma
        unchanged = (sigma == 0) | (missing == 0)
        return dataclasses.replace(
            before,
            psf_fwhm=torch.hypot(before.psf_fwhm, missing),
            background_sigma=torch.where(unchanged, sigma, math.nan),
        )

    low, optics_lr = batch.image_lr, batch.optics_lr
    if low is not None and optics_lr is not None:
        low = blurred(low, missing / FWHM_PER_SIGMA / optics_lr.pixel_scale)
    return dataclasses.replace(
        batch,
        image=blurred(batch.image, missing / FWHM_PER_SIGMA / batch.optics.pixel_scale),
        optics=optics(batch.optics),
        image_lr=low,
        optics_lr=None if optics_lr is None else optics(optics_lr),
        params=_without_snr(batch.params),
    )


def add_offset(batch: LensBatch, offset: Tensor) -> LensBatch:
    """``offset`` (B,) on every pixel of an image; see :class:`Offset`."""
    low, optics_lr = batch.image_lr, batch.optics_lr
    if low is not None and optics_lr is not None:
        area = (optics_lr.pixel_scale / batch.optics.pixel_scale) ** 2
        low = low + _as_maps(area * offset, low)
    return dataclasses.replace(
        batch, image=batch.image + _as_maps(offset, batch.image), image_lr=low
    )


def turned(images: Tensor, symmetry: Tensor) -> Tensor:
    """Each image under one of the eight symmetries of the square.

    Args:
        images: (B, C, H, H).
        symmetry: (B,) whole numbers; number ``k`` is ``k % 4`` quarter turns of
            :func:`torch.rot90` (the last axis towards the one before), from 4 on followed by a
            flip of the last axis.

    Raises:
        InputError: for images that are not square.
    """
    if images.shape[-2] != images.shape[-1]:
        raise InputError(
            f"only square images can be turned, got {images.shape[-2]} x {images.shape[-1]} pixels"
        )
    n = images.shape[-1]
    pixels = torch.arange(n * n, device=images.device).view(n, n)
    turns = [torch.rot90(pixels, k) for k in range(4)]
    source = torch.stack([*turns, *(pixels.flip(-1) for pixels in turns)]).flatten(1)
    source = source[symmetry.to(images.device)][:, None].expand(*images.shape[:2], -1)
    return images.flatten(-2).gather(-1, source).view(images.shape)


def shifted(images: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Each image (B, C, H, W) moved by ``dx, dy`` (B,) pixels.

    The cosine series through the pixels (DCT-II) is evaluated where the light comes from: exact for
    light without structure below two pixels, as a Fourier phase, but without its jump from one edge
    to the other. Noise keeps its level (to one frequency in ``n``), which interpolation between
    neighbours would smooth away.
    """

    def along(n: int, offset: Tensor) -> Tensor:
        pixels = torch.arange(n, dtype=torch.float64, device=images.device)
        at = pixels - offset.to(pixels)[:, None, None]
        return _cosines(n, at) @ _cosines(n, pixels).mT

    return _separable(images, along(images.shape[-2], dy), along(images.shape[-1], dx))


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Each image (B, C, H, W) under a round Gaussian of ``sigma`` (B,) pixels.

    A Gaussian on the frequencies of the cosine series, and so right for any width: the pixels of a
    Gaussian much narrower than one, such as between two similar PSFs, would not blur at all.
    """

    def along(n: int) -> Tensor:
        pixels = torch.arange(n, dtype=torch.float64, device=images.device)
        width = sigma.to(pixels)[:, None, None, None]
        basis = _cosines(n, pixels)
        return (basis * torch.exp(-0.5 * (width * (math.pi / n) * pixels) ** 2)) @ basis.mT

    return _separable(images, *(along(n) for n in images.shape[-2:]))


def _cosines(n: int, at: Tensor) -> Tensor:
    """The ``n`` orthonormal cosines (DCT-II) of ``n`` pixels, ``(..., m, n)`` at ``(..., m)``."""
    frequency = torch.arange(n, dtype=at.dtype, device=at.device)
    norm = torch.full_like(frequency, math.sqrt(2 / n))
    norm[0] = math.sqrt(1 / n)
    return norm * torch.cos((math.pi / n) * frequency * (at[..., None] + 0.5))


def _separable(images: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    along_y, along_x = along_y.to(images.dtype), along_x.to(images.dtype)
    # Under mixed precision the products would lose all but three digits.
    with torch.autocast(images.device.type, enabled=False):
        return along_y @ (images @ along_x.mT)


def _steps(symmetry: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A symmetry of the square as: swap x and y?, then flip x?, then flip y? (B,) each."""
    turns = symmetry % 4
    return turns % 2 == 1, (turns >= 2) ^ (symmetry >= 4), (turns == 1) | (turns == 2)


def _turned_params(params: Params, symmetry: Tensor) -> Params:
    swap, flip_x, flip_y = _steps(symmetry)
    new = dict(params)
    for x, y in _pairs(params, "center_x", "center_y"):
        along_x = torch.where(swap, params[y], params[x])
        along_y = torch.where(swap, params[x], params[y])
        new[x] = torch.where(flip_x, -along_x, along_x)
        new[y] = torch.where(flip_y, -along_y, along_y)
    # Of (cos 2 phi, sin 2 phi) a flip changes the second; swapping the axes, the first.
    for names in (("e1", "e2"), ("gamma1", "gamma2")):
        for first, second in _pairs(params, *names):
            new[first] = torch.where(swap, -params[first], params[first])
            new[second] = torch.where(flip_x ^ flip_y, -params[second], params[second])
    for name in _named(params, "angle"):
        angle = torch.where(swap, 0.5 * math.pi - params[name], params[name])
        angle = torch.where(flip_x, math.pi - angle, angle)
        # A line comes back to itself after half a turn.
        period = math.pi if name in _OF_LINES else 2 * math.pi
        new[name] = torch.where(flip_y, -angle, angle) % period
    for name in _named(params, "mirrored"):
        odd = swap ^ flip_x ^ flip_y
        new[name] = torch.where(odd, 1 - params[name], params[name])
    return new


def _shifted_params(params: Params, dx: Tensor, dy: Tensor, alpha_scale: float) -> Params:
    gamma1, gamma2 = (
        alpha_scale * params.get(name, torch.zeros_like(dx)).nan_to_num()
        for name in ("gamma1", "gamma2")
    )
    # The shear deflects about the centre of the image. About a centre that moved by d it would
    # deflect less by Gamma d; that the shear stays where it is, the source makes up for.
    source = (dx - gamma1 * dx - gamma2 * dy, dy - gamma2 * dx + gamma1 * dy)
    new = dict(params)
    for names in _pairs(params, "center_x", "center_y"):
        moved = source if names[0].startswith("source") else (dx, dy)
        for name, by in zip(names, moved, strict=True):
            new[name] = params[name] + by
    return new


def _without_snr(params: Params) -> Params:
    new = {name: torch.full_like(params[name], math.nan) for name in _named(params, "snr")}
    return params | new


def _named(params: Params, suffix: str) -> list[str]:
    """The columns of this name, and those of which it is the last word."""
    return [name for name in params if name == suffix or name.endswith(f"_{suffix}")]


def _pairs(params: Params, first: str, second: str) -> Iterator[tuple[str, str]]:
    """The columns that are components of one thing, such as ``e1`` and ``e2``."""
    prefixes = [name.removesuffix(first) for name in _named(params, first)]
    if set(prefixes) != {name.removesuffix(second) for name in _named(params, second)}:
        raise InputError(
            f"every column {first} needs its {second} and the other way round, got columns "
            f"{', '.join(_named(params, first) + _named(params, second))}"
        )
    for prefix in prefixes:
        yield prefix + first, prefix + second


def _drawn(amount: Amount, images: Tensor, generator: torch.Generator) -> Tensor:
    """The amount for each image, (B,) float64 on their device."""
    low, high = amount if isinstance(amount, tuple) else (amount, amount)
    if low == high:
        return torch.full((len(images),), low, dtype=torch.float64, device=images.device)
    uniform = torch.rand(
        len(images), generator=generator, dtype=torch.float64, device=_home(generator)
    )
    return (low + (high - low) * uniform).to(images.device)


def _home(generator: torch.Generator) -> torch.device:
    """Where random numbers are drawn: a generator on the CPU gives the same ones to any device."""
    return generator.device


def _as_maps(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images)[:, None, None, None]


def _check_amount(name: str, amount: Amount, *, low: float, open_low: bool = False) -> None:
    ends = amount if isinstance(amount, tuple) else (amount, amount)
    finite = len(ends) == 2 and all(math.isfinite(end) for end in ends)
    if not finite or ends[0] > ends[1] or ends[0] < low or (open_low and ends[0] == low):
        bound = "" if low == -math.inf else f", {'above' if open_low else 'not below'} {low:g}"
        raise InputError(
            f"{name} must be a finite number or a range (low, high){bound}, got {amount}"
        )
