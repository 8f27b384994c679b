"""The configuration of galaxy images."""

import numpy as np
import pytest
from astropy.io import fits

from lensphys.ground.errors import InputError
from simulate.sources.files import digest
from simulate.sources.procedural import write_procedural_galaxies
from tests.simulate.sources.blobs import CONFIG, SHIPPED, blob, configured


def test_the_identity_follows_the_contents_and_not_the_place(tmp_path):
    copy, other = tmp_path / "galaxies.h5", tmp_path / "other.h5"
    copy.write_bytes(SHIPPED.read_bytes())
    write_procedural_galaxies(other, 1, 64, np.random.default_rng(9))
    assert configured(path=copy).identity() == CONFIG.identity()
    assert configured(path=other).identity() != CONFIG.identity()
    assert configured(size=32).identity() != CONFIG.identity()
    (tmp_path / "folder").mkdir()
    fits.PrimaryHDU(blob()).writeto(tmp_path / "folder" / "a.fits")
    before = digest(tmp_path / "folder")
    fits.PrimaryHDU(blob()).writeto(tmp_path / "folder" / "b.fits")
    assert digest(tmp_path / "folder") != before


def test_weights_of_colours_sum_to_one():
    with pytest.raises(InputError, match="rgb_weights: the weights must not be negative"):
        configured(rgb_weights=(1.0, 1.0, 1.0))
