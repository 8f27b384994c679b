"""Cutouts of several sizes become a data set of one."""

import numpy as np

from simulate.dataset.padding import find_shown, read_padding
from tests.simulate.importers.make_files import image, refusal, save_fits


def test_images_of_several_sizes_are_cropped_and_padded_about_their_centres(tmp_path, importing):
    large = save_fits(tmp_path / "cut" / "1.fits", image(10))
    small = save_fits(tmp_path / "cut" / "2.fits", image(5))
    save_fits(tmp_path / "cut" / "3.fits", image(8))
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert (
        "5 to 10 pixels on a side: 8 x 8 for all, 1 cropped, 1 padded, 1 as" in importing.lines[0]
    )
    assert np.array_equal(data.image[0, 0], large[1:9, 1:9].astype(np.float32))
    assert np.array_equal(data.image[1, 0, 1:6, 1:6], small.astype(np.float32))
    padding = read_padding(data.params)
    assert padding.tolist() == [[0] * 4, [1, 2, 1, 2], [0] * 4]
    assert data.params["n_bad_pixels"].tolist() == [0, 0, 0]
    around = data.image[1, 0][~find_shown(padding, (8, 8))[1]]
    assert np.allclose(around, np.median(small), rtol=1e-6)


def test_a_data_set_without_padding_has_no_columns_of_it(tmp_path, importing):
    for n in (8, 10):
        save_fits(tmp_path / "cut" / f"{n}.fits", image(n))
    assert importing(tmp_path / "cut", pixel_scale=None).params.keys() == {"n_bad_pixels"}
    cropped = importing(tmp_path / "cut", pixel_scale=None, size=7, out=tmp_path / "seven")
    assert cropped.params.keys() == {"n_bad_pixels"}
    assert importing.lines == []


def test_shards_of_any_length_hold_the_same_padding(tmp_path, importing):
    for n in range(5, 13):
        save_fits(tmp_path / "cut" / f"{n:02d}.fits", image(n))
    one = importing(tmp_path / "cut", pixel_scale=None)
    many = importing(tmp_path / "cut", pixel_scale=None, shard_size=3, out=tmp_path / "many")
    assert np.array_equal(one.image, many.image)
    assert one.params.keys() == many.params.keys()
    for name, values in one.params.items():
        assert np.array_equal(values, many.params[name])


def test_a_size_beyond_memory_is_refused(tmp_path, monkeypatch):
    save_fits(tmp_path / "cut" / "1.fits", image(8))
    monkeypatch.setattr("lensphys.ground.room.free_memory", lambda: 1e6)
    refused = refusal(tmp_path / "cut", tmp_path / "none", pixel_scale=None, size=4096)
    assert "shards of 1 image of 4096 x 4096 pixels need" in refused
