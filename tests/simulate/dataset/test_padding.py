"""Padding of a data set: what shows the sky, and what does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulate.dataset.padding import (
    COLUMNS,
    check_padding,
    count_padded,
    find_shown,
    mark_padding,
    read_padding,
)
from simulate.shards import DataSet


def data_set(padding: list[list[float]]) -> DataSet:
    count = len(padding)
    params = dict(zip(COLUMNS, np.array(padding, float).T, strict=True))
    image = np.ones((count, 1, 5, 6), np.float32)
    return DataSet(Path(), image, np.zeros(count, np.int64), params, None, {}, {})


def test_left_is_the_first_column_and_bottom_the_first_row() -> None:
    padding = read_padding(data_set([[1, 2, 0, 1]]).params)
    assert padding is not None
    shown = np.zeros((5, 6), bool)
    shown[0:4, 1:4] = True
    assert np.array_equal(find_shown(padding, (5, 6))[0], shown)
    assert count_padded(padding, (5, 6)).tolist() == [30 - 12]


def test_images_without_padding_are_as_they_were() -> None:
    assert read_padding({}) is None
    none = data_set([[0, 0, 0, 0], [np.nan] * 4])
    assert read_padding(none.params) is None
    assert np.array_equal(mark_padding(none), none.image)


def test_padding_is_marked_for_statistics_alone() -> None:
    data = data_set([[0, 0, 0, 0], [3, 0, 0, 0]])
    marked = mark_padding(data)
    assert np.isnan(marked[1, 0, :, :3]).all()
    assert np.isfinite(marked[1, 0, :, 3:]).all()
    assert np.isfinite(marked[0]).all()
    assert np.isfinite(data.image).all()
    assert np.isfinite(mark_padding(data, np.array([0]))).all()


@pytest.mark.parametrize("around", [[6, 0, 0, 0], [3, 3, 0, 0], [0, 0, 2, 3], [1e12, 0, 0, 0]])
def test_an_image_shows_a_pixel_whatever_a_stranger_s_file_says(around: list[float]) -> None:
    data = data_set([around, [5, 0, 2, 2]])
    padding = read_padding(data.params)
    assert padding is not None
    assert find_shown(padding, (5, 6)).sum((1, 2)).tolist() == [30, 1]
    assert count_padded(padding, (5, 6)).tolist() == [0, 29]
    assert np.isfinite(mark_padding(data)).any((1, 2, 3)).all()


@pytest.mark.parametrize(
    "wrong",
    [[1, 2, 3, 4], [[1, 2, 3]], [[0, 0, 0, -1]], [[0.5, 0, 0, 0]], [[np.nan] * 4], ["abcd"]],
)
def test_padding_is_four_whole_numbers_for_each_image(wrong: Any) -> None:
    assert check_padding([[1, 2.0, 3, 0]], 1).tolist() == [[1, 2, 3, 0]]
    with pytest.raises(ValueError, match="padding must"):
        check_padding(wrong, 1)
