"""Counts and ranges are those of the images."""

import numpy as np

from simulate.dataset import summary
from simulate.shards import read


def test_ranges_are_those_of_the_images(undisturbed):
    data, found = read(undisturbed), summary.summarize(undisturbed)
    assert found.counts == {"no_sub": 32, "cdm": 32, "axion": 32}
    assert {column.name for column in found.columns} == set(data.params)
    for column in found.columns:
        values = data.params[column.name]
        values = values[np.isfinite(values)]
        assert column.count == len(values)
        assert (column.low, column.high) == (values.min(), values.max())
        assert column.median == np.median(values)


def test_of_many_images_a_sample_is_kept_and_the_extremes(undisturbed, monkeypatch):
    whole = {column.name: column for column in summary.summarize(undisturbed).columns}
    monkeypatch.setattr(summary, "_KEPT", 30)
    found = summary.summarize(undisturbed)
    assert found.sampled
    for column in found.columns:
        assert len(column.values) < 50
        other = whole[column.name]
        assert (column.count, column.low, column.high) == (other.count, other.low, other.high)
