"""Two ways to render a scene: ``lenstronomy`` the reference, ``torch`` the fast one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lensphys.instruments import Instrument
    from simulate.config import SimulateConfig
    from simulate.scenes import Scene
    from simulate.sources.galaxies import GalaxyImages


#: Names of the backends, as the configuration has them.
BACKENDS = ("torch", "lenstronomy")


@dataclasses.dataclass(frozen=True)
class Rendered:
    """Noise-free images of B scenes, flux per pixel, part by part."""

    source: NDArray[np.floating]
    """(B, ny, nx) of the lensed sources"""
    light: NDArray[np.floating] | None
    """(B, ny, nx) of the light in the image plane; None: there is none"""
    twins: NDArray[np.floating] | None
    """(B, ny, nx) of the lensed sources without substructure; None: not wanted"""

    @property
    def total(self) -> NDArray[np.floating]:
        """(B, ny, nx) of all light."""
        return self.source if self.light is None else self.source + self.light


class Renderer(Protocol):
    """Renders scenes through one instrument."""

    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""

    def render_parts(self, scene: Scene, *, twins: bool = False) -> Rendered:
        """Their parts, with those of twins without substructure if they are wanted."""


def make_renderer(
    config: SimulateConfig,
    camera: Instrument,
    supersampling: int,
    galaxies: GalaxyImages | None = None,
) -> Renderer:
    """The renderer that a configuration asks for."""
    # Imported where needed: a run loads one of the two libraries only.
    if config.backend == "lenstronomy":
        from simulate.backends.lenstronomy import LenstronomyRenderer

        return LenstronomyRenderer(
            camera,
            config.planes(),
            supersampling=supersampling,
            tolerance=config.ray_tolerance(),
            widest_psf=config.widest_psf(),
            galaxies=galaxies,
        )
    from simulate.backends.torch import TorchRenderer

    return TorchRenderer(
        camera,
        supersampling=supersampling,
        tolerance=config.ray_tolerance(),
        widest_psf=config.widest_psf(),
        galaxies=galaxies,
        device=config.device,
    )
