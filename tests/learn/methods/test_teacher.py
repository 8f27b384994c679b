"""Methods with a teacher."""

from typing import Any

import pytest
import torch

from tests.learn.methods.conftest import count_channels, images

TEACHERS = [
    ("ijepa", "encoder", "teacher"),
    ("physics-ijepa", "encoder", "teacher"),
    ("moco", "encoder", "teacher"),
    ("moco", "projection", "teacher_projection"),
    ("dino", "encoder", "teacher"),
    ("dino", "head", "teacher_head"),
    ("ibot", "encoder", "teacher"),
    ("ibot", "head", "teacher_head"),
]


@pytest.mark.parametrize(("method", "student", "teacher"), TEACHERS)
def test_teachers_follow_and_are_no_aliases_of_their_students(
    method: str, student: str, teacher: str, build: Any
) -> None:
    module = build(method, "params.momentum_start=0.9")
    learnt = dict(getattr(module, student).named_parameters())
    taught = dict(getattr(module, teacher).named_parameters())
    assert learnt.keys() == taught.keys()
    before = {name: value.clone() for name, value in taught.items()}
    for name, value in learnt.items():
        assert torch.equal(value, taught[name]), "both start as one"
        assert value.data_ptr() != taught[name].data_ptr()
        assert not taught[name].requires_grad
    with torch.no_grad():
        for value in learnt.values():
            value += 1
    module.update_teachers()
    for name, value in taught.items():
        torch.testing.assert_close(value, before[name] + 0.1)


@pytest.mark.parametrize("method", sorted({method for method, _, _ in TEACHERS}))
def test_teachers_get_no_gradient(method: str, build: Any) -> None:
    module = build(method)
    module.loss(*[images(8, count_channels(module))] * module.views)["loss"].backward()
    teachers = [p for n, p in module.named_parameters() if n.startswith("teacher")]
    assert teachers
    assert all(p.grad is None for p in teachers)
