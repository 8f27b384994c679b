"""Fixtures of several modules: a grid, and checks of gradients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lensphys import pixel_grid

Maps = Tensor | Sequence[Tensor]
Evaluate = Callable[[dict[str, Tensor]], Maps]


def _leaves(parameters: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: torch.as_tensor(value, dtype=dtype).clone().requires_grad_()
        for name, value in parameters.items()
    }


@pytest.fixture
def grid() -> tuple[Tensor, Tensor]:
    """Five by seven pixels, float64: not square, and with a pixel at the origin."""
    return pixel_grid((5, 7), 0.31, dtype=torch.float64)


@pytest.fixture(scope="session")
def check_gradients() -> Callable[[Evaluate, Mapping[str, Any]], None]:
    """Compares autograd with central differences, float64, for every named parameter."""

    def check(evaluate: Evaluate, parameters: Mapping[str, Any]) -> None:
        leaves = _leaves(parameters, torch.float64)

        def positional(*values: Tensor) -> Maps:
            return evaluate(dict(zip(leaves, values, strict=True)))

        assert torch.autograd.gradcheck(positional, tuple(leaves.values()), atol=1e-7, rtol=1e-6)

    return check


@pytest.fixture(scope="session")
def gradients() -> Callable[..., dict[str, Tensor | None]]:
    """The gradient of the sum of all pixels with respect to every named parameter.

    The pixels are weighted so that no symmetry of a map cancels its gradient.
    """

    def evaluate_gradients(
        evaluate: Evaluate, parameters: Mapping[str, Any], dtype: torch.dtype = torch.float64
    ) -> dict[str, Tensor | None]:
        leaves = _leaves(parameters, dtype)
        maps = evaluate(leaves)
        maps = (maps,) if isinstance(maps, Tensor) else tuple(maps)
        assert all(torch.isfinite(image).all() for image in maps)
        total = sum(
            (image * torch.linspace(0.5, 1.5, image.numel(), dtype=dtype).view(image.shape)).sum()
            for image in maps
        )
        found = torch.autograd.grad(total, tuple(leaves.values()), allow_unused=True)
        return dict(zip(leaves, found, strict=True))

    return evaluate_gradients
