"""The main job in minutes: every step of it, small, ending in a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import model_validator
from rich.text import Text

from learn.checks import announce_torch, check_params
from learn.config import FinetuneConfig, PretrainConfig
from learn.reporting.terminal import print_monitor, print_runs
from learn.run_files import read_metrics
from learn.tasks import task_report
from lensphys.ground.config import Strict, load_config, shipped_config
from lensphys.ground.console import PlainConsole
from lensphys.ground.names import plain_text
from simulate.presets import load_simulate_config
from simulate.run import Progress, simulate

#: The folder of a data set, by the Model of a step.
_FOLDER = "model{model}"
#: The data set that the encoder is pretrained on.
_PRETRAINED_ON = "model2"
#: Keys that the demonstration fills itself.
_FILLED = {"simulate": {"out"}, "pretrain": {"out", "data"}, "finetune": {"out", "encoder", "task"}}


class DemoConfig(Strict):
    """The steps of the demonstration, as overrides of the shipped configurations."""

    simulate: list[dict[str, Any]]
    pretrain: dict[str, Any]
    finetune: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _names_what_each_step_is(self) -> DemoConfig:
        for step in self.simulate:
            _check_step("simulate", step, "simulate", "model", int)
            if not isinstance(step.get("preset", ""), str):
                raise ValueError(f"preset of a step of simulate must be a name, not {step!a:.80}")
        _check_step("pretrain", self.pretrain, "pretrain", "method", str)
        made = [_FOLDER.format(**step) for step in self.simulate]
        if len(set(made)) < len(made):
            raise ValueError("two steps of simulate have the same model, and would share a folder")
        wanted = {"pretrain": _PRETRAINED_ON}
        for task, step in self.finetune.items():
            _check_step(f"finetune.{task}", step, "finetune", "data", str)
            wanted[f"finetune.{task}"] = step["data"]
        for where, name in wanted.items():
            if name not in made:
                raise ValueError(
                    f"{where} needs the data set {name!a:.80}, and simulate makes "
                    f"{', '.join(made) or 'none'}"
                )
        return self


def _check_step(where: str, step: dict[str, Any], command: str, key: str, kind: type) -> None:
    """Refuse a step without its key, with one of another kind, or with keys that are filled here.

    Raises:
        ValueError: for the first of them.
    """
    if key not in step:
        raise ValueError(f"a step of {where} lacks the key '{key}'")
    value = step[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        words = {int: "a whole number", str: "a name"}[kind]
        raise ValueError(f"{key} of a step of {where} must be {words}, not {value!a:.80}")
    for name in sorted(_FILLED[command] & step.keys()):
        raise ValueError(
            f"{name} of a step of {where} is filled by the demonstration; leave it out"
        )


@dataclasses.dataclass(frozen=True)
class _Step:
    """A step of the demonstration: its words, its folder, and what is done."""

    what: str
    folder: Path
    do: Callable[[], object]


def demo(config: DemoConfig, out: Path, progress: Callable[[int, int], Progress]) -> None:
    """Simulate three data sets, pretrain, fine-tune for two tasks, and print what came out.

    Run again, it goes on where it stopped.

    Raises:
        InputError: for a configuration that a step cannot work with, before the first step.
    """
    console = PlainConsole()
    method = config.pretrain["method"]
    simulations = [_simulation(step, out, progress) for step in config.simulate]
    pretraining = _pretraining(config.pretrain, out)
    runs = {
        (task, name): _finetuning(task, step, out, name, encoder)
        for task, step in config.finetune.items()
        for name, encoder in {f"pretrained ({method})": method, "from scratch": None}.items()
    }
    steps = [*simulations, pretraining, *runs.values()]
    for number, step in enumerate(steps, 1):
        words = plain_text(f"step {number} of {len(steps)}: {step.what}")
        console.rule(Text(words, "bold"), align="left")
        step.do()

    console.rule()
    for task, keys in config.finetune.items():
        of_task = {name: run.folder for (of, name), run in runs.items() if of == task}
        metrics = {name: read_metrics(folder) for name, folder in of_task.items()}
        print_runs(f"{task} on {out / keys['data']}", metrics, task_report(task))
    console.print("\nPictures:")
    pictures = [step.folder / "preview.png" for step in simulations]
    pictures += [pretraining.folder / "loss.png"]
    pictures += [path for run in runs.values() for path in sorted(run.folder.glob("*.png"))]
    for picture in pictures:
        console.print(f"  {picture}", soft_wrap=True)


def _simulation(step: dict[str, Any], out: Path, progress: Callable[[int, int], Progress]) -> _Step:
    folder = out / _FOLDER.format(**step)
    keys = {key: value for key, value in step.items() if key not in ("model", "preset")}
    preset = {"preset": step["preset"]} if "preset" in step else {}
    settings = load_simulate_config(step["model"], **preset, overrides=keys, out=folder)
    what = f"simulate Model {step['model']}, {settings.n} images"
    return _Step(what, folder, lambda: simulate(settings, progress))


def _pretraining(step: dict[str, Any], out: Path) -> _Step:
    method, folder = step["method"], out / step["method"]
    path = shipped_config("pretrain", method, "method")
    inputs = {"data": out / _PRETRAINED_ON, "out": folder}
    settings = load_config(PretrainConfig, path, overrides=step | inputs)
    check_params(settings.params, "pretrain", method, "method")

    def do() -> None:
        announce_torch()
        from learn.pretrain import pretrain

        pretrain(settings)
        print_monitor(folder)

    return _Step(f"pretrain an encoder on Model 2 by {method}", folder, do)


def _finetuning(task: str, step: dict[str, Any], out: Path, name: str, method: str | None) -> _Step:
    data, folder = out / step["data"], out / f"{task}-{method or 'scratch'}"
    path = shipped_config("finetune", task, "task")
    inputs = {"data": data, "encoder": str(out / method) if method else "none", "out": folder}
    settings = load_config(FinetuneConfig, path, overrides=step | inputs)
    check_params(settings.params, "finetune", task, "task")

    def do() -> None:
        announce_torch()
        from learn.finetune import finetune

        finetune(settings)

    return _Step(f"fine-tune for {task} on {data}, {name}", folder, do)
