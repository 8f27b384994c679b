"""Batches of rendered scenes to be changed."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

import lensphys as lp
from simulate.augment.augmentations import (
    Broaden,
    ExtraNoise,
    Offset,
    Shift,
    Symmetry,
)
from simulate.augment.lens_batch import LensBatch, Optics

SCALE, N_PIX, FWHM, SUPERSAMPLING, FACTOR = 0.08, 64, 0.2, 4, 2


#: The model lies in a wider field than the images, so that light comes in at their edges.
MARGIN = 16


symmetries = st.integers(0, 7)


ALL = [
    Symmetry(),
    Shift(0.4),
    ExtraNoise(sigma=0.1),
    ExtraNoise(snr_factor=(1.5, 2.0)),
    Broaden((0.21, 0.3)),
    Offset((-0.1, 0.1)),
]


NAMES = [type(each).__name__ for each in ALL]


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_scenes(count: int, seed: int) -> dict[str, Tensor]:
    generator = random(seed)
    widths = dict.fromkeys(("e1", "e2", "source_e1", "source_e2"), 0.2)
    widths |= dict.fromkeys(("center_x", "center_y", "source_center_x", "source_center_y"), 0.2)
    widths |= dict.fromkeys(("gamma1", "gamma2"), 0.08)
    params = {
        name: width * (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
        for name, width in widths.items()
    }
    theta_E = 0.8 + 0.4 * torch.rand(count, generator=generator, dtype=torch.float64)
    return params | {"theta_E": theta_E}


def render(
    params: dict[str, Tensor],
    fwhm: float = FWHM,
    n_pix: int = N_PIX,
    scale: float = SCALE,
    alpha_scale: float = 1.0,
) -> Tensor:
    margin = round(MARGIN * SCALE / scale)
    x, y = lp.pixel_grid(n_pix + 2 * margin, scale, dtype=torch.float64)
    sie = {name: params[name] for name in ("theta_E", "e1", "e2", "center_x", "center_y")}
    shear = {name: params[name] for name in ("gamma1", "gamma2")}
    placed = {name: params[f"source_{name}"] for name in ("e1", "e2", "center_x", "center_y")}
    image = lp.render(
        lp.ThinLens([lp.SIE(**sie), lp.Shear(**shear)], alpha_scale=alpha_scale),
        lp.Sersic(amplitude=10.0, R_sersic=0.25, n_sersic=1.0, **placed),
        x,
        y,
        psf=lp.GaussianPSF(fwhm, scale / SUPERSAMPLING, truncation=8.0),
        supersampling=SUPERSAMPLING,
    )
    return image[:, None, margin:-margin, margin:-margin]


def optics(count: int, scale: float = SCALE, fwhm: float = FWHM, sigma: float = 0.0) -> Optics:
    columns = (torch.full((count,), value, dtype=torch.float64) for value in (fwhm, sigma))
    return Optics(scale, *columns)


def scenes(count: int, seed: int = 0, alpha_scale: float = 1.0) -> LensBatch:
    """Rendered scenes, with their images at half the resolution."""
    params = draw_scenes(count, seed)
    return LensBatch(
        render(params, alpha_scale=alpha_scale),
        params,
        optics(count),
        render(params, n_pix=N_PIX // FACTOR, scale=FACTOR * SCALE, alpha_scale=alpha_scale),
        optics(count, FACTOR * SCALE),
        alpha_scale,
    )


def pictures(count: int = 3, sigma: float = 0.05) -> LensBatch:
    """Small images without meaning, with every kind of column."""
    generator = random(2)
    names = (
        *("theta_E", "e1", "e2", "center_x", "center_y", "gamma1", "gamma2", "source_e1"),
        *("source_e2", "source_center_x", "source_center_y", "vortex_angle", "vortex_center_x"),
        *("vortex_center_y", "lens_light_e1", "lens_light_e2", "perturbation_snr", "peak_snr"),
    )
    params = {name: torch.rand(count, generator=generator, dtype=torch.float64) for name in names}
    high = torch.rand(count, 1, 12, 12, generator=generator, dtype=torch.float64)
    return LensBatch(
        high,
        params,
        optics(count, sigma=sigma),
        torch.nn.functional.avg_pool2d(high, FACTOR) * FACTOR**2,
        optics(count, FACTOR * SCALE, sigma=FACTOR * sigma),
    )


def assert_same(found: LensBatch, expected: LensBatch, tolerance: float = 1e-14) -> None:
    assert torch.equal(found.image, expected.image)
    assert torch.equal(found.image_lr, expected.image_lr)
    assert found.params.keys() == expected.params.keys()
    for name, values in expected.params.items():
        difference = found.params[name] - values
        if name.endswith("angle"):
            difference = torch.sin(0.5 * difference)  # angles are the same modulo a full turn
        torch.testing.assert_close(
            difference.nan_to_num(7.0),
            torch.zeros_like(values).masked_fill(values.isnan(), 7.0),
            rtol=0,
            atol=tolerance,
        )


def off(found: Tensor, expected: Tensor, border: int = 0) -> float:
    """The largest difference in units of the peak, apart from a border of so many pixels."""
    peak = expected.amax((1, 2, 3), keepdim=True)
    inside = slice(border, -border or None)
    return float(((found - expected) / peak)[..., inside, inside].abs().max())
