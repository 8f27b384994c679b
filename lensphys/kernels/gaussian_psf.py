"""Separable convolution of images ``(M, ny, nx)``, whose edge pixels continue outwards."""

from __future__ import annotations

import numpy as np

from lensphys.kernels.compiling import kernel


@kernel
def blur(weights, images, blurred):  # type: ignore[no-untyped-def]
    """Blur with symmetric weights; see :class:`lensphys.GaussianPSF`."""
    half = weights.shape[0] // 2
    _, ny, nx = images.shape
    row, along_x = np.empty(nx + 2 * half, images.dtype), np.empty((ny, nx), images.dtype)
    for m in range(images.shape[0]):
        for i in range(ny):
            image, out = images[m, i], along_x[i]
            for j in range(half):
                row[j], row[half + nx + j] = image[0], image[nx - 1]
            for j in range(nx):
                row[half + j] = image[j]
            w = weights[half]
            for j in range(nx):
                out[j] = w * row[half + j]
            for k in range(half):
                w = weights[k]
                left, right = row[k : k + nx], row[2 * half - k : 2 * half - k + nx]
                for j in range(nx):
                    out[j] += w * (left[j] + right[j])
        for i in range(ny):
            out = blurred[m, i]
            w, middle = weights[half], along_x[i]
            for j in range(nx):
                out[j] = w * middle[j]
            for k in range(half):
                w = weights[k]
                above, below = along_x[max(i + k - half, 0)], along_x[min(i + half - k, ny - 1)]
                for j in range(nx):
                    out[j] += w * (above[j] + below[j])


@kernel
def blur_transposed(weights, grad, by_images):  # type: ignore[no-untyped-def]
    """Apply the transpose of :func:`blur`."""
    half = weights.shape[0] // 2
    _, ny, nx = grad.shape
    row, along_y = np.empty(nx + 2 * half, grad.dtype), np.empty((ny, nx), grad.dtype)
    for m in range(grad.shape[0]):
        for i in range(ny):
            for j in range(nx):
                along_y[i, j] = 0
        for i in range(ny):
            g = grad[m, i]
            for k in range(2 * half + 1):
                w, out = weights[k], along_y[min(max(i + k - half, 0), ny - 1)]
                for j in range(nx):
                    out[j] += w * g[j]
        for i in range(ny):
            g = along_y[i]
            for j in range(nx + 2 * half):
                row[j] = 0
            for k in range(2 * half + 1):
                w, out = weights[k], row[k : k + nx]
                for j in range(nx):
                    out[j] += w * g[j]
            out = by_images[m, i]
            for j in range(nx):
                out[j] = row[half + j]
            for k in range(half):
                out[0] += row[k]
                out[nx - 1] += row[half + nx + k]
