"""Image k is always the same, whatever is drawn beside it."""

import numpy as np
import pytest
import torch
from scipy import stats

from simulate.presets.published import PublishedPrior
from simulate.scenes import NOISE, SCENE, Scene, generator

N = 3000


#: Chance that a test of a true distribution fails; the seeds are fixed, so it fails never or always
P = 1e-3


def assert_same_images(a: Scene, b: Scene):
    assert torch.equal(a.index, b.index)
    assert torch.equal(a.label, b.label)
    for name, values in a.params.items():
        assert torch.equal(values.nan_to_num(-1), b.params[name].nan_to_num(-1)), name
    assert len(a.substructure) == len(b.substructure)
    for one, other in zip(a.substructure, b.substructure, strict=True):
        assert one.profile == other.profile
        assert torch.equal(one.rows, other.rows)
        count = min(v.shape[1] for s in (one, other) for v in s.params.values())
        for name, values in one.params.items():
            assert torch.equal(values[:, :count], other.params[name][:, :count]), name


@pytest.mark.parametrize("model", [1, 2])
@pytest.mark.parametrize(("start", "stop"), [(0, 1), (1, 2), (3, 4), (7, 20), (39, 40)])
def test_an_image_does_not_depend_on_the_others(configure, model, start, stop):
    whole = PublishedPrior(configure(model, n=40)).draw(0, 40)
    alone = PublishedPrior(configure(model, n=1000, shard_size=7)).draw(start, stop)
    assert_same_images(whole.select(torch.arange(start, stop)), alone)


def test_the_backend_does_not_change_the_scenes(configure):
    scenes = [
        PublishedPrior(configure(backend=name)).draw(0, 9) for name in ("torch", "lenstronomy")
    ]
    assert_same_images(*scenes)


@pytest.mark.parametrize(("model", "seed"), [(2, 1), (3, 0), (3, 1)])
def test_another_seed_or_model_makes_other_images(configure, model, seed):
    reference, other = (
        PublishedPrior(c).draw(0, 99) for c in (configure(2, seed=0), configure(model, seed=seed))
    )
    for name in ("source_center_x", "source_center_y"):
        a, b = reference.params[name], other.params[name]
        assert not (a == b).any()
        assert stats.pearsonr(a, b).pvalue > P


def test_streams_of_one_image_are_independent(configure):
    config = configure()
    scene, noise, next_image = (
        generator(config, index, stream).random(500)
        for index, stream in ((4, SCENE), (4, NOISE), (5, SCENE))
    )
    assert not np.isin(scene, np.concatenate([noise, next_image])).any()
