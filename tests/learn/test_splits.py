"""Parts of a data set for training, validation and test."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.pretrain import _read_data
from learn.splits import published_parts, split, split_for
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.shards import DataSet

LABELS = np.arange(300) % 3
NAMES = ("no_sub", "cdm", "axion")
FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.2}


def test_parts_do_not_overlap_and_hold_every_class_in_proportion() -> None:
    parts = split(LABELS, NAMES, labels_per_class=None, seed=0, **FRACTIONS)
    everything = np.concatenate([parts.train, parts.validation, parts.test])
    np.testing.assert_array_equal(np.sort(everything), np.arange(300))
    for part, count in ((parts.train, 70), (parts.validation, 10), (parts.test, 20)):
        assert np.bincount(LABELS[part]).tolist() == [count] * 3


def test_the_test_images_are_the_same_for_every_seed_and_budget() -> None:
    reference = split(LABELS, NAMES, labels_per_class=None, seed=0, **FRACTIONS)
    other = split(LABELS, NAMES, labels_per_class=5, seed=1, **FRACTIONS)
    np.testing.assert_array_equal(reference.test, other.test)
    assert np.bincount(LABELS[other.train]).tolist() == [5, 5, 5]
    assert not np.isin(other.train, other.test).any()


@pytest.mark.parametrize(("labels", "budget"), [(LABELS, 71), (np.arange(6) % 3, None)])
def test_too_few_images_are_refused(labels: np.ndarray, budget: int | None) -> None:
    with pytest.raises(InputError, match=r"of no_sub .*simulate more"):
        split(labels, NAMES, labels_per_class=budget, seed=0, **FRACTIONS)


def test_a_configuration_splits_a_data_set(model2: Path, finetune_config: Any) -> None:
    data = shards.read(model2)
    config = finetune_config("classify", labels_per_class=4, seed=3)
    parts = split_for(data, config)
    expected = split(
        data.label,
        data.label_names,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        labels_per_class=4,
        seed=3,
    )
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(expected, name))
    assert np.bincount(data.label[parts.train]).tolist() == [4, 4, 4]


def published(data: DataSet, *names: str) -> DataSet:
    """A data set of 60 images with published parts: the first 36, and the others in turn."""
    part = np.zeros(len(data))
    part[36:] = 1 + np.arange(len(data) - 36) // 3 % (len(names) - 1)
    attrs = data.attrs | {"split_names": list(names)}
    return dataclasses.replace(data, params=data.params | {"split": part}, attrs=attrs)


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        (("train", "val", "test"), False),
        (("train", "test"), True),
        (("train", "val"), True),
    ],
)
def test_published_parts_stay_what_they_are(
    model2: Path, finetune_config: Any, names: tuple[str, ...], drawn: bool
) -> None:
    data = published(shards.read(model2), *names)
    column = data.params["split"]
    parts = split_for(data, finetune_config("classify", seed=3))
    assert set(column[parts.test]) == {float(len(names) - 1)}
    assert np.array_equal(parts.test, np.flatnonzero(column == len(names) - 1))
    assert set(column[parts.train]) == {0.0}
    assert set(column[parts.validation]) == {0.0 if drawn else 1.0}
    assert not np.isin(parts.train, parts.validation).any()
    assert len(parts.train) + len(parts.validation) == (36 if drawn else 48)
    other = split_for(data, finetune_config("classify", labels_per_class=4, seed=4))
    assert np.array_equal(other.test, parts.test)
    assert np.bincount(data.label[other.train]).tolist() == [4, 4, 4]
    anew = split_for(data, finetune_config("classify", ("published_split=false",), seed=3))
    assert np.array_equal(
        anew.test, split_for(shards.read(model2), finetune_config("classify")).test
    )


def test_data_sets_without_parts_to_test_on_have_none(model2: Path) -> None:
    data = shards.read(model2)
    assert published_parts(data) == {}
    assert published_parts(published(data, "val", "test")) == {}
    alone = published(data, "train", "test")
    alone.params["split"][:] = 0
    assert published_parts(alone) == {}


def test_published_parts_that_lack_a_class_are_refused(model2: Path, finetune_config: Any) -> None:
    data = published(shards.read(model2), "train", "val", "test")
    data.params["split"][data.label == 2] = 0
    with pytest.raises(InputError, match=r"no images of axion, or too few; draw .*split=false"):
        split_for(data, finetune_config("classify"))
    whole = published(shards.read(model2), "train", "val", "test")
    with pytest.raises(InputError, match="labels_per_class = 13: only 12 images of no_sub"):
        split_for(whole, finetune_config("classify", labels_per_class=13))


def test_runs_follow_published_parts_and_encoders_do_not_see_the_test(
    model2: Path, tmp_path: Path, finetune_config: Any, pretrain_config: Any, monkeypatch: Any
) -> None:
    read = shards.read

    def with_parts(folder: Path, classes: Any = None) -> DataSet:
        return published(read(folder, classes), "train", "val", "test")

    monkeypatch.setattr(shards, "read", with_parts)
    config = finetune_config(
        "classify", ("optimizer.epochs=1",), data=model2, encoder="none", out=tmp_path / "run"
    )
    run, _ = finetune(config)
    metrics = evaluate(run).metrics
    assert np.sum(metrics["confusion"]) == 12
    assert len(_read_data(pretrain_config("mae", data=model2))) == 36
    every = pretrain_config("mae", ("published_split=false",), data=model2)
    assert len(_read_data(every)) == 60
