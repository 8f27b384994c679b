"""Random populations of deflectors, and their sum in plain Python."""

import pytest
import torch

from tests.lensphys.mass.profiles import maps

B, K = 2, 5

#: Shapes of (theta_E, center_x, center_y); None for a number.
SHAPES = {
    "(K,)": ((K,), (K,), (K,)),
    "(B, K)": ((B, K), (B, K), (B, K)),
    "one mass function, positions by image": ((K,), (B, K), (B, K)),
    "masses by image, one set of positions": ((B, K), (K,), (K,)),
    "one mass an image": ((B, 1), (K,), (B, K)),
    "a single deflector an image": ((B, 1), (B, 1), (B, 1)),
    "equal masses": (None, (K,), (K,)),
    "equal masses, positions by image": (None, (B, K), (B, K)),
    "a scalar tensor of mass": ((), (K,), (B, K)),
    "on a line": ((K,), (K,), None),
    "at one place": ((K,), None, None),
}

each_shape = pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)


def random_parameters(shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(11)
    ranges = {"theta_E": (0.01, 0.1), "center_x": (-1, 1), "center_y": (-1, 1)}
    parameters = {}
    for (name, (low, high)), shape in zip(ranges.items(), shapes, strict=True):
        value = torch.rand(shape or (), generator=generator, dtype=torch.float64)
        value = low + (high - low) * value
        parameters[name] = value.item() if shape is None else value.to(dtype)
    return parameters


def sum_of_single_ones(cls, parameters, method, x, y):
    """Every deflector of every image by itself, added up in plain Python."""
    values = [torch.as_tensor(v, dtype=torch.float64) for v in parameters.values()]
    table = torch.stack(torch.broadcast_tensors(*values), dim=-1)

    def image(rows):
        named = (dict(zip(parameters, row.tolist(), strict=True)) for row in rows)
        parts = [maps(cls(**one), method, x, y) for one in named]
        return [sum(components) for components in zip(*parts, strict=True)]

    if table.ndim == 2:
        return image(table)
    return [torch.stack(images) for images in zip(*map(image, table), strict=True)]


def assert_maps_close(found, expected, precision):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert (ours.double() - theirs.double()).abs().max() < precision * theirs.abs().max()
