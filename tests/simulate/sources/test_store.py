"""A data set keeps the galaxies behind its lenses."""

import numpy as np
import pytest

from lensphys.ground.errors import InputError
from simulate.dataset.twins import twin_residuals
from simulate.run import simulate
from simulate.shards import read
from simulate.sources.store import SOURCES
from tests.simulate.light.scene_images import with_galaxies


def test_a_data_set_keeps_its_galaxies(configure, tmp_path, contents):
    config = with_galaxies(configure(2, preset="physical", n=12, shard_size=6))
    out, _ = simulate(config.model_copy(update={"out": tmp_path / "data"}))
    before = contents(out)
    assert SOURCES in before
    (out / SOURCES).write_bytes(before[SOURCES][:-100])
    (out / "shard-00001.h5").unlink()
    simulate(config.model_copy(update={"out": out}))
    assert contents(out) == before
    # The twin of an image needs no other file than those of the data set.
    data = read(out)
    chi2 = (twin_residuals(data)[data.label == 0] ** 2).mean()
    assert chi2 == pytest.approx(1, abs=0.05)


def test_images_with_galaxies_do_not_depend_on_the_shards(configure, tmp_path):
    made = []
    for size in (4, 9):
        config = with_galaxies(configure(2, n=9, shard_size=size, out=tmp_path / str(size)))
        made.append(read(simulate(config)[0]).image)
    assert np.array_equal(*made)


def test_another_file_of_galaxies_is_another_data_set(configure, tmp_path):
    config = configure(2, n=3, out=tmp_path / "data")
    simulate(config)
    with pytest.raises(InputError, match="galaxies"):
        simulate(with_galaxies(config))


def test_a_missing_file_of_galaxies_is_named(configure, tmp_path):
    config = configure(2, f"galaxies.path={tmp_path / 'none.h5'}", n=3, out=tmp_path / "data")
    with pytest.raises(InputError, match=r"none\.h5"):
        simulate(config)
