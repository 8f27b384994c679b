"""The substructure of a batch of images: each class draws that of its own images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulate.substructure.base import Array, Draw, Drawn

if TYPE_CHECKING:
    from simulate.config import SimulateConfig
    from simulate.scenes import Deflectors

Rows = NDArray[np.int64]


def columns_of_substructure(config: SimulateConfig) -> list[str]:
    """Columns that only some classes fill, of every class with a section in the configuration."""
    draws = [config.draw_of(name) for name in config.class_sections()]
    return list(dict.fromkeys(name for draw in draws if draw for name in draw.columns))


def draw_classes(
    config: SimulateConfig,
    scale: Any,
    label: NDArray[np.int64],
    params: Mapping[str, Array],
    rngs: list[np.random.Generator],
) -> Iterator[tuple[Rows, tuple[Draw[Any], Drawn] | None]]:
    """Draw the substructure of B images, class by class.

    Args:
        config: of the data set.
        scale: turns masses into angles, as :meth:`simulate.substructure.base.Draw.draw` takes it.
        label: (B,) position in ``config.classes``; images behind them have no lens.
        params: (B,) columns of the lenses.
        rngs: random numbers of each image.

    Yields:
        The (R,) images of a class, and what draws their substructure with what it has drawn; None
        for a smooth class.
    """
    for number, name in enumerate(config.classes):
        rows = np.flatnonzero(label == number)
        draw = config.draw_of(name)
        if draw is None:
            yield rows, None
        elif len(rows):
            of_rows = {key: values[rows] for key, values in params.items()}
            section = getattr(config, name)
            yield rows, (draw, draw.draw(section, scale, of_rows, [rngs[i] for i in rows]))


def deflectors_of(draw: Draw[Any], drawn: Drawn, rows: Rows) -> Deflectors:
    """Drawn substructure as a part of a scene."""
    import torch

    from simulate.scenes import Deflectors

    params = {name: torch.from_numpy(values) for name, values in drawn.deflectors.items()}
    return Deflectors(draw.profile, torch.from_numpy(rows), params, draw.in_lenstronomy)
