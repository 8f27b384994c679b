"""Two ways to render a scene: ``lenstronomy`` the reference, ``torch`` the fast one."""

from __future__ import annotations

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


class Renderer(Protocol):
    """Renders scenes through one instrument."""

    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""


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
            camera, config.planes(), supersampling=supersampling, galaxies=galaxies
        )
    from simulate.backends.torch import TorchRenderer

    return TorchRenderer(
        camera, supersampling=supersampling, galaxies=galaxies, device=config.device
    )
