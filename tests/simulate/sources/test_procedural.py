"""Galaxies that are made by formula."""

import h5py
import numpy as np

from simulate.sources.procedural import make_procedural_galaxies
from tests.simulate.sources.blobs import SHIPPED


def test_procedural_galaxies_follow_their_generator_and_fill_their_range():
    first, again = (make_procedural_galaxies(2, 64, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first.shape, first.dtype) == ((2, 64, 64, 3), np.uint8)
    assert not np.array_equal(first[0], first[1])
    assert first.max() > 150
    assert 10 < np.median(first) < 40


def test_the_shipped_galaxies_are_made_as_their_readme_says(tmp_path):
    with h5py.File(SHIPPED) as file:
        images = file["images"][()]
    made = make_procedural_galaxies(8, 64, np.random.default_rng(1))
    # The last digit of a rounded exponential may differ between machines.
    assert np.abs(images.astype(int) - made).max() <= 1
    assert SHIPPED.stat().st_size < 100_000
