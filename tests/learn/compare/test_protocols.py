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


def test_each_budget_has_a_published_number():
    several = PLAN["finetune"] | {"labels_per_class": [100, 500]}
    published = {"psnr": [31.0, 34.1], "ssim": [0.8, 0.9]}
    protocol = Protocol.model_validate(PLAN | {"finetune": several, "published": published})
    assert protocol.budgets == (100, 500)
    assert protocol.published_number("ssim", 1) == 0.9
    assert Protocol.model_validate(PLAN).budgets == ()
    assert Protocol.model_validate(PLAN).published_number("psnr") == 34.1
    for wrong in ({"psnr": [31.0]}, {"psnr": 34.1}):
        with pytest.raises(ValidationError, match=r"published\.psnr has numbers for [01] budgets"):
            Protocol.model_validate(PLAN | {"finetune": several, "published": wrong})
