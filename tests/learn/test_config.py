"""Configurations of pretraining and fine-tuning."""

from typing import Any

import pytest

from learn.config import EncoderConfig, MonitorConfig, PretrainConfig
from lensphys.ground.config import validate
from lensphys.ground.errors import InputError
from tests.learn.conftest import TINY, WHOLE_FIT


def test_the_lens_fit_of_an_encoder_of_an_earlier_version_is_called_prior() -> None:
    fit = WHOLE_FIT.model_dump()
    for name in ("lens_fit", "prior"):
        encoder = EncoderConfig.model_validate(TINY | {name: fit})
        assert encoder.lens_fit == WHOLE_FIT
    assert "prior" not in encoder.model_dump(), "it is written under its name of today"
    assert EncoderConfig(**TINY).lens_fit is None


def test_the_lens_fit_is_set_by_its_keys(pretrain_config: Any) -> None:
    config = pretrain_config("physics-ijepa", ("encoder.lens_fit.response=true",))
    assert config.encoder.lens_fit.response
    with pytest.raises(InputError, match="did you mean 'response'"):
        pretrain_config("physics-ijepa", ("encoder.lens_fit.respons=true",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 70}, "image_size = 70 is no multiple of encoder.patch_size"),
        ({"num_heads": 5}, "embed_dim must be a multiple of encoder.num_heads"),
        ({"embed_dim": 25}, "multiple of 4"),
        ({"depths": 2}, "did you mean 'depth'"),
    ],
)
def test_encoders_that_cannot_be_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(EncoderConfig, TINY | changes, "encoder")


def test_the_parts_of_a_split_leave_images_to_train_on(finetune_config: Any) -> None:
    with pytest.raises(InputError, match="must leave images to train on"):
        finetune_config("classify", ("validation_fraction=0.5", "test_fraction=0.5"))


def test_a_run_depends_on_low_rank_changes_in_their_mode_alone(finetune_config: Any) -> None:
    assert finetune_config("classify", mode="lora").lora.rank == 8
    for mode in ("full", "linear"):
        assert "lora" not in finetune_config("classify", mode=mode).model_dump()
    with pytest.raises(InputError, match="did you mean 'rank'"):
        finetune_config("classify", ("lora.rnk=2",))
    with pytest.raises(InputError, match="mode=lora needs the section lora"):
        finetune_config("classify", ("lora=null",), mode="lora")


@pytest.mark.parametrize(("given", "meant"), [("32", "32-true"), ("bf16", "bf16-mixed")])
def test_precisions_have_short_names(pretrain_config: Any, given: str, meant: str) -> None:
    config: PretrainConfig = pretrain_config("mae", (f"precision={given}",))
    assert config.precision == meant


def test_at_most_a_fifth_of_the_images_is_watched() -> None:
    monitor = MonitorConfig(every=1, images=100)
    assert (monitor.held_out(1000), monitor.held_out(60)) == (100, 12)


def test_one_process_trains_on_each_device_of_all_nodes(pretrain_config: Any) -> None:
    assert pretrain_config("mae", devices=4, nodes=2).processes == 8
