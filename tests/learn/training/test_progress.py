"""The bar of a training."""

from types import SimpleNamespace
from typing import Any

import pytest

from learn.training import progress
from learn.training.progress import Progress


class Recorder:
    """A bar that keeps what it is given."""

    def __init__(self, total: float, done: float, unit: str, what: str) -> None:
        self.total, self.n, self.what, self.values, self.closed = total, done, what, "", False

    def update(self, count: float) -> None:
        self.n += count

    def describe(self, what: str, values: str) -> None:
        self.what, self.values = what, values

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    made: list[Recorder] = []

    def start(*given: Any) -> Recorder:
        made.append(Recorder(*given))
        return made[-1]

    monkeypatch.setattr(progress, "start_bar", start)
    return made


def trainer(epoch: int) -> Any:
    metrics = {"loss": 0.123456, "val_loss": 2.0}
    return SimpleNamespace(
        num_training_batches=5, max_epochs=4, current_epoch=epoch, progress_bar_metrics=metrics
    )


def test_one_bar_counts_the_steps_of_all_epochs(bars: list[Recorder]) -> None:
    shown, module = Progress(), SimpleNamespace()
    shown.on_train_start(trainer(0), module)
    for epoch in range(4):
        for batch in range(5):
            shown.on_train_batch_end(trainer(epoch), module, None, None, batch)
    (bar,) = bars
    assert (bar.n, bar.total) == (20, 20)
    assert bar.values == "loss 0.123, val_loss 2"
    shown.on_train_end(trainer(3), module)
    assert bar.closed


def test_a_resumed_training_begins_at_its_epoch(bars: list[Recorder]) -> None:
    shown = Progress()
    shown.on_train_start(trainer(2), SimpleNamespace())
    assert (bars[0].n, bars[0].total, bars[0].what) == (10, 20, "epoch 3 of 4")
    shown.on_exception(trainer(2), SimpleNamespace(), KeyboardInterrupt())
    assert bars[0].closed, "an error message starts on a line of its own"


def test_only_the_first_of_several_processes_shows_a_bar(bars: list[Recorder]) -> None:
    shown = Progress()
    shown.disable()
    shown.on_train_start(trainer(0), SimpleNamespace())
    shown.on_train_batch_end(trainer(0), SimpleNamespace(), None, None, 0)
    assert bars == []
