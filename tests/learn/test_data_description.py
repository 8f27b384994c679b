"""The form of a data set, without its images."""

import dataclasses
import json
from pathlib import Path

import pytest

from learn.data_description import DataDescription, describe, strip_paths
from simulate import shards


def test_a_description_holds_the_form_of_a_data_set_and_no_image(pairs: Path) -> None:
    data = shards.read(pairs)
    found = describe(data)
    assert found.shapes == {"image": [64, 64], "image_lr": [32, 32]}
    assert (found.side("image"), found.side("image_lr")) == (64, 32)
    assert found.images == len(data)
    assert found.label_names == ["no_sub", "cdm", "axion"]
    assert found.params == list(data.params)
    assert found.attrs["pixel_scale"] == data.attrs["pixel_scale"]


def test_a_description_survives_the_header_of_a_file(model2: Path) -> None:
    found = describe(shards.read(model2))
    text = json.dumps(dataclasses.asdict(found))
    assert DataDescription(**json.loads(text)) == found
    assert str(model2.parent) not in text, "no paths of this machine"


def test_a_column_that_is_not_there_is_an_error(model2: Path) -> None:
    with pytest.raises(KeyError):
        describe(shards.read(model2)).side("image_lr")


def test_absolute_paths_lose_their_folders() -> None:
    given = {"a": "/home/me/x.h5", "b": ["rel/y.h5", 3, None], "c": {"d": ("/z",)}, "e": "plain"}
    expected = {"a": "x.h5", "b": ["rel/y.h5", 3, None], "c": {"d": ["z"]}, "e": "plain"}
    assert strip_paths(given) == expected
