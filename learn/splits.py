"""Parts of a data set for training, validation and test: drawn, or as they were published."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learn.config import FinetuneConfig
from lensphys.ground.errors import InputError
from simulate.shards import DataSet

#: Column of a data set with the published part of each image, and attribute with their names.
PART, _NAMES = "split", "split_names"
_TRAIN, _VALIDATION, _TEST = "train", "val", "test"


@dataclasses.dataclass(frozen=True)
class Split:
    """Indices of the images for training, validation and test; no two overlap."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(
    label: NDArray[np.int64],
    names: Sequence[str],
    *,
    validation_fraction: float,
    test_fraction: float,
    labels_per_class: int | None,
    seed: int,
) -> Split:
    """Split a data set, with every class in the same proportion in all parts.

    The test part depends on the labels and the fractions alone, so that runs with other seeds and
    budgets are tested on the same images.

    Args:
        label: (N,) classes of the images, indices into ``names``.
        names: of the classes.
        validation_fraction, test_fraction: of every class.
        labels_per_class: number of training labels a class; None: all that are left.
        seed: of which images are trained on, and which validated with.

    Raises:
        InputError: if a part would lack a class, or has fewer labels than asked for.
    """
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for number in np.unique(label):
        name = names[number]
        members = fixed.permutation(np.flatnonzero(label == number))
        n_test = round(len(members) * test_fraction)
        n_validation = round(len(members) * validation_fraction)
        rest = rng.permutation(members[n_test:])
        validation, train = rest[:n_validation], rest[n_validation:]
        unwatched = validation_fraction > 0 and not n_validation
        if unwatched or not (n_test and len(train)):
            raise InputError(
                f"{len(members)} images of {name} are too few to split into training, "
                "validation and test; simulate more with --n"
            )
        train = _take_labels(train, labels_per_class, name, "; simulate more with --n")
        for part, indices in zip(parts, (train, validation, members[:n_test]), strict=True):
            part.append(indices)
    return Split(*(np.sort(np.concatenate(part)) for part in parts))


def split_for(data: DataSet, config: FinetuneConfig) -> Split:
    """Split a data set as a fine-tuning configuration asks for.

    Published parts stay what they are. Where there is no published test, or no validation, the
    other of the two is the test, and images to validate with are drawn from the training images.

    Raises:
        InputError: see :func:`split`; and for published parts that lack a class.
    """
    published = published_parts(data) if config.published_split else {}
    if not published:
        return split(
            data.label,
            data.label_names,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            labels_per_class=config.labels_per_class,
            seed=config.seed,
        )
    test = published.get(_TEST, published.get(_VALIDATION))
    assert test is not None
    rng = np.random.default_rng(config.seed)
    parts: list[list[NDArray[np.int64]]] = [[], []]
    for number in np.unique(data.label):
        name = data.label_names[number]
        members = rng.permutation(published[_TRAIN][data.label[published[_TRAIN]] == number])
        if len(published) == 3:
            watched = published[_VALIDATION][data.label[published[_VALIDATION]] == number]
        else:
            count = round(len(members) * config.validation_fraction)
            watched, members = members[:count], members[count:]
        if not (len(watched) and len(members) and (data.label[test] == number).any()):
            raise InputError(
                f"a published part has no images of {name}, or too few; draw other parts with "
                "--set published_split=false"
            )
        members = _take_labels(members, config.labels_per_class, name)
        for part, indices in zip(parts, (members, watched), strict=True):
            part.append(indices)
    train, validation = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, validation, test)


def _take_labels(
    train: NDArray[np.int64], wanted: int | None, name: str, advice: str = ""
) -> NDArray[np.int64]:
    """The first so many training images of a class; None: all of them."""
    if wanted is not None and wanted > len(train):
        raise InputError(
            f"labels_per_class = {wanted}: only {len(train)} images of {name} are left for "
            f"training{advice}"
        )
    return train[:wanted]


def published_parts(data: DataSet) -> dict[str, NDArray[np.int64]]:
    """Indices of the images of each published part of a data set, by its name.

    ``train`` with ``val`` or ``test`` or both; empty where there are no such parts.
    """
    column, names = data.params.get(PART), list(data.attrs.get(_NAMES, ()))
    if column is None:
        return {}
    parts = {name: np.flatnonzero(column == number) for number, name in enumerate(names)}
    parts = {name: rows for name, rows in parts.items() if len(rows)}
    return parts if _TRAIN in parts and {_VALIDATION, _TEST} & parts.keys() else {}
