"""Batches that memory holds."""

import sys
from pathlib import Path
from typing import Any

import pytest

from learn.data_description import describe
from learn.inference import memory
from learn.inference.model import Model


def test_a_batch_takes_half_of_the_free_memory(
    pairs: Path, untrained_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, data = untrained_task("superres", pairs)
    model = Model(task, describe(data), Path("run"))
    pixels = (model.factor * model.size) ** 2
    for free, count in ((None, sys.maxsize), (0, 256), (2 * 1000 * 4000 * pixels, 1000)):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        assert memory.images_in_memory(model) == count
