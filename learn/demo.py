"""The main job in minutes: every step of it, small, ending in a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import model_validator
from rich.console import Console

from learn.config import FinetuneConfig, PretrainConfig
from learn.finetune import finetune
from learn.pretrain import pretrain
from learn.reporting.terminal import print_monitor, print_runs
from learn.run_files import read_metrics
from learn.tasks import task_report
from lensphys.ground.config import Strict, load_config, shipped_config
from simulate.presets import load_simulate_config
from simulate.run import Progress, simulate


class DemoConfig(Strict):
    """The steps of the demonstration, as overrides of the shipped configurations."""

    simulate: list[dict[str, Any]]
    pretrain: dict[str, Any]
    finetune: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _says_what_each_step_is(self) -> DemoConfig:
        needed = [("simulate", step, "model") for step in self.simulate]
        needed += [("pretrain", self.pretrain, "method")]
        needed += [(f"finetune.{task}", step, "data") for task, step in self.finetune.items()]
        for where, step, key in needed:
            if key not in step:
                raise ValueError(f"a step of {where} lacks the key '{key}'")
        return self


def demo(config: DemoConfig, out: Path, progress: Callable[[int, int], Progress]) -> None:
    """Simulate three data sets, pretrain, fine-tune for two tasks, and print what came out.

    Run again, it goes on where it stopped.
    """
    console = Console()
    pictures = []
    for step in config.simulate:
        folder = out / f"model{step['model']}"
        settings = load_simulate_config(**step, out=folder)
        _announce(console, f"simulate Model {step['model']}, {settings.n} images")
        simulate(settings, progress)
        pictures.append(folder / "preview.png")

    method = config.pretrain["method"]
    encoder = out / method
    _announce(console, f"pretrain an encoder on Model 2 by {method}")
    path = shipped_config("pretrain", method, "method")
    inputs = {"data": out / "model2", "out": encoder}
    pretrain(load_config(PretrainConfig, path, overrides=config.pretrain | inputs))
    print_monitor(encoder)
    pictures.append(encoder / "loss.png")

    tables = []
    for task, step in config.finetune.items():
        data, runs = out / step["data"], {}
        starts = {f"pretrained ({method})": str(encoder), "from scratch": "none"}
        for name, start in starts.items():
            _announce(console, f"fine-tune for {task} on {data}, {name}")
            folder = out / f"{task}-{'scratch' if start == 'none' else method}"
            path = shipped_config("finetune", task, "task")
            inputs = {"data": data, "encoder": start, "out": folder}
            finetune(load_config(FinetuneConfig, path, overrides=step | inputs))
            runs[name] = read_metrics(folder)
            pictures += sorted(folder.glob("*.png"))
        tables.append((f"{task} on {data}", runs, task_report(task)))

    console.rule()
    for table in tables:
        print_runs(*table)
    console.print("\nPictures:")
    for picture in pictures:
        console.print(f"  {picture}", soft_wrap=True)


def _announce(console: Console, what: str) -> None:
    console.rule(f"[bold]{what}", align="left")
