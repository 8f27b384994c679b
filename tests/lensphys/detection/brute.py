"""The search by brute force: every change of an image, and the projector, written out."""

import torch

from lensphys import pixel_grid
from lensphys.products import product


def linearised(result, k):
    """Jacobian, precision, residual, slopes and weight of image k, float64, and what is still due.

    The last is the downhill gradient by parameter, of which an exact best fit has none.
    """
    problem = result.problem
    index = torch.tensor([k])
    table = torch.stack([result.params[name] for name in result.names], -1)[index]
    z = problem.bounds.inverse(table, index)
    near = problem.linearise(z, index)
    slope = problem.bounds.forward(z, index)[1][0].double()
    due = torch.zeros(near.jacobian.shape[1], dtype=torch.float64)
    gradient = problem.equations(z, index)[2][0]
    due[: len(slope)] = torch.where(slope > 0, gradient / slope, 0.0)
    jacobian, residual = near.jacobian[0].flatten(1).double(), near.residual[0].flatten().double()
    weight = problem.weight[k].double()
    return jacobian, near.precision[0].double(), residual, near.slopes[0].double(), weight, due


def changes(result, k, perturber, places):
    """Change ``(places, pixels)`` of image k over sigma by a unit mass, pixel by pixel."""
    pixels = result.problem.pixels.take(torch.tensor([k]))
    *_, slopes, weight, _ = linearised(result, k)
    factor = pixels.x.shape[-1] // pixels.shape[1]
    spacing = pixels.pixel_scale / factor
    x, y = pixel_grid(tuple(pixels.x.shape[-2:]), spacing, dtype=torch.float64)
    centre_x, centre_y = pixel_grid(pixels.shape, pixels.pixel_scale, dtype=torch.float64)
    at_x, at_y = (v.flatten()[places][:, None, None] for v in (centre_x, centre_y))
    alpha_x, alpha_y = perturber.deflection(x - at_x, y - at_y)
    brightness = -(slopes[0] * alpha_x + slopes[1] * alpha_y)
    return (pixels.collect(brightness[None])[0] * weight).flatten(1)


def search(result, k, perturber, places):
    """S/N, mass and error, and S/N and error with all else fixed, in some places of image k."""
    jacobian, precision, residual, _, _, due = linearised(result, k)
    a = changes(result, k, perturber, places)
    live = jacobian.abs().amax(1) > 0
    jacobian, precision, due = jacobian[live], precision[live][:, live], due[live]
    normal = product(jacobian, jacobian.mT) + precision
    inverse = torch.linalg.inv(normal)
    projector = torch.eye(a.shape[1]).double() - product(jacobian.mT, product(inverse, jacobian))
    left = residual - product(jacobian.mT, product(inverse, due[:, None]))[:, 0]
    norm = (product(a, projector) * a).sum(1)
    dot, whole = product(a, left), a.square().sum(1)
    return {
        "snr": dot / norm.sqrt(),
        "mass": dot / norm,
        "error": norm.rsqrt(),
        "snr_fixed": product(a, residual) / whole.sqrt(),
        "error_fixed": whole.rsqrt(),
    }
