"""Protocols of earlier systems are checked, and stand beside the baseline of their task."""

import pytest
from pydantic import ValidationError

from learn.compare.protocols import Protocol

PLAN = {
    "what": "Accuracy.",
    "source": "A paper.",
    "published": {"psnr": 34.1},
    "preset": "published",
    "pretrain": None,
    "finetune": {
        "task": "superres",
        "recipe": None,
        "model": 1,
        "images": 10,
        "pairs": 2,
        "set": {},
    },
}


def test_a_published_number_stands_beside_that_of_the_trivial_baseline():
    protocol = Protocol.model_validate(PLAN)
    assert protocol.metrics_of("psnr") == ["psnr", "bicubic_psnr"]
    assert protocol.head() == ("published", "here", "bicubic")


def test_detection_statistics_stand_beside_what_has_measured_them():
    finetune = PLAN["finetune"] | {"task": "classify"}
    protocol = Protocol.model_validate(PLAN | {"finetune": finetune})
    assert protocol.head([{"accuracy": 0.5}]) == ("published", "here", "radial features")
    measured = [{"accuracy": 0.5}, {"accuracy": 0.5, "detection_accuracy": 0.4}]
    assert protocol.head(measured)[-1] == "detection statistics"
    assert protocol.metrics_of("auc.cdm", measured) == [
        "auc.cdm",
        "radial_auc.cdm",
        "detection_auc.cdm",
    ]


def test_an_unknown_task_is_named_with_the_nearest():
    finetune = PLAN["finetune"] | {"task": "super"}
    with pytest.raises(ValidationError, match=r"unknown task 'super' \(did you mean 'superres'"):
        Protocol.model_validate(PLAN | {"finetune": finetune})
