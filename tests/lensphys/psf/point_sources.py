"""Pictures and kernels of random pixels."""

import torch
from hypothesis import strategies as st


def picture(*shape, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def kernel_of(*shape):
    kernel = picture(*shape, seed=8)
    return kernel / kernel.sum((-2, -1), keepdim=True)


KERNEL = kernel_of(5, 3)


#: Odd sizes of kernels.
odd = st.integers(0, 6).map(lambda k: 2 * k + 1)
