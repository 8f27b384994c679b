"""The form in which an encoder sees images."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learn.config import EncoderConfig
from learn.data import Batch, Stretch
from learn.data_description import describe
from learn.inference.encoder_input import EncoderInput, describe_input, read_input
from learn.networks.encoder import Encoder
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import TINY, WHOLE_FIT

ENCODER = Encoder(EncoderConfig(**TINY, lens_fit=WHOLE_FIT))


@pytest.mark.parametrize("exposure", [5400.0, math.nan])
def test_the_input_of_an_encoder_survives_its_description(model2: Path, exposure: float) -> None:
    data = shards.read(model2)
    stretch = Stretch("asinh")
    for number, constant in enumerate(stretch.buffers()):
        constant.fill_(math.pi / (number + 1))
    text = json.dumps(describe_input(stretch, exposure, data), allow_nan=False)
    about = {"stretch": {"kind": "asinh"}, "binning": None} | json.loads(text)
    seen, form = read_input(about, ENCODER, "here")
    assert form == describe(data)
    assert (seen.stretch.kind, seen.binning, seen.column) == ("asinh", 1, "image")
    found = dict(seen.stretch.named_buffers())
    assert all(torch.equal(found[name], value) for name, value in stretch.named_buffers())
    assert seen.lens_fitting is not None
    np.testing.assert_equal(seen.lens_fitting.exposure.item(), exposure)


def test_an_encoder_of_an_earlier_version_is_refused_in_one_line() -> None:
    with pytest.raises(
        InputError, match="earlier version; run its pretrain command again"
    ) as error:
        read_input({"stretch": {"kind": "asinh"}, "data": {"preset": "physical"}}, ENCODER, "here")
    assert "\n" not in str(error.value)


def test_an_encoder_pretrained_on_the_middle_of_binned_images_sees_it_again() -> None:
    flux = torch.rand(2, 1, 40, 40)
    seen = EncoderInput(Stretch("asinh"), None, 2, side=16)
    middle = flux[..., 4:36, 4:36].unfold(2, 2, 2).unfold(3, 2, 2).sum((-2, -1))
    torch.testing.assert_close(seen(flux, None), torch.asinh(middle))
    assert seen(flux[..., :30, :30], None).shape == (2, 1, 15, 15), "there is no more"


def test_an_encoder_sees_what_its_task_showed_it(model2: Path, untrained_task: Any) -> None:
    task, data = untrained_task("classify", model2, "params.binning=2")
    seen = EncoderInput(task.stretch, task.lens_fitting, task.binning, task.column)
    flux, label = torch.from_numpy(data.image[:3]), torch.from_numpy(data.label[:3])
    assert torch.equal(seen(flux, None), task.encoder_input(Batch(flux, label, None)))
