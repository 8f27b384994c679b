"""Commands that train: pretrain, finetune and compare, and the demonstration of all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from learn.commands.options import (
    Config,
    Device,
    Devices,
    Nodes,
    Out,
    Overwrite,
    Seed,
    Sets,
    make_settings,
    one_of,
    option,
    print_written,
    say,
    several,
    show_bars,
)
from lensphys.ground.progress import write_note

# Heavy imports wait inside the commands, so that --help and refusals answer at once.


def pretrain_command(
    context: typer.Context,
    method: Annotated[str, option("{methods}.", "NAME")],
    data: Annotated[
        Path | None, option("Folder of the data set. Default: data/model2.", "DIR")
    ] = None,
    classes: Annotated[Any, several("Images of these classes alone.")] = None,
    out: Out = None,
    device: Device = None,
    devices: Devices = None,
    nodes: Nodes = None,
    seed: Seed = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Pretrain an encoder without labels; the run goes to a folder of its own under runs/.

    Run the same command again to go on after an interruption.

    Example: `python cli.py pretrain --method mae`

    Example: `python cli.py pretrain --method mae --data data/model3 --set optimizer.epochs=20`
    """
    from learn.checks import announce_torch, check_pretraining
    from learn.config import PretrainConfig

    settings = make_settings(context, PretrainConfig, "pretrain", method, "method")
    check_pretraining(settings)
    announce_torch()
    from learn.pretrain import pretrain
    from learn.reporting.terminal import print_monitor
    from learn.training.processes import process_rank

    folder, made = pretrain(settings)
    if process_rank(settings):
        return
    print_monitor(folder)
    print_written(folder, made)


def finetune_command(
    context: typer.Context,
    task: Annotated[str, option("{tasks}.", "NAME")],
    encoder: Annotated[
        str | None,
        option(
            "Folder of a pretraining run; latest: the last one{and_default}; none: train from "
            "scratch.",
            "DIR",
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        option(
            "With --encoder none: vit, a timm model (resnet18), or rcan (for superres).", "NAME"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        option("Folder of the data set. Default: the first of data/model* that serves.", "DIR"),
    ] = None,
    mode: Annotated[
        str | None,
        one_of(
            "modes",
            "Train all of the network; (linear) the last layer alone; or (lora) the last layer and "
            "low-rank changes of the encoder.",
        ),
    ] = None,
    labels_per_class: Annotated[int | None, option("Train on so many labels a class.", "N")] = None,
    out: Out = None,
    device: Device = None,
    devices: Devices = None,
    nodes: Nodes = None,
    seed: Seed = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Fine-tune an encoder for a task, and test it on images it has never seen.

    {described_tasks}

    Run the same command again to go on after an interruption.

    Example: `python cli.py finetune --task classify --labels-per-class 1000`
    """
    from learn.checks import announce_torch, check_finetuning
    from learn.config import FinetuneConfig

    settings = make_settings(context, FinetuneConfig, "finetune", task, "task")
    check_finetuning(settings)
    announce_torch()
    from learn.finetune import finetune
    from learn.reporting.terminal import print_run
    from learn.tasks import task_report
    from learn.training.processes import process_rank

    folder, made = finetune(settings, write_note)
    if process_rank(settings):
        return
    print_run(folder, task_report(settings.task))
    print_written(folder, made)


def demo_command(
    context: typer.Context,
    out: Annotated[Path, option("Folder to write to.", "DIR")] = Path("demo"),
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Run the main job in minutes: simulate, pretrain, fine-tune, and a table at the end.

    Example: `python cli.py demo`
    """
    from learn.demo import DemoConfig, demo

    settings = make_settings(context, DemoConfig, "demo", "demo", "command")
    demo(settings, out, show_bars(context))


def compare_command(
    context: typer.Context,
    tier: Annotated[
        str,
        option("How much: smoke takes minutes, small hours on 2 cores, full a GPU.", "{tiers:|}"),
    ],
    out: Annotated[Path, option("Folder that holds one for each tier.", "DIR")] = Path("results"),
    only: Annotated[Any, several("These rows alone: mae,radial,mae:no-sub.")] = None,
    presets: Annotated[Any, several("Data of these alone: {presets:,}.")] = None,
    seeds: Annotated[
        str | None, option("These seeds alone, also others than the tier's.", "N,N")
    ] = None,
    models: Annotated[
        str | None, option("Measure on these DeepLense Models alone: 1,3.", "N,N")
    ] = None,
    limit_hours: Annotated[
        float | None,
        option("Begin no cell after so many hours; 0: table and figures alone.", "HOURS", min=0),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Fill the comparison table, cell by cell: methods, data sets, budgets and seeds.

    Data sets and encoders that cells share are made when the first of them needs them.

    Run the same command again to go on after an interruption; finished cells stay.

    Example: `python cli.py compare --tier small --limit-hours 2`
    """
    from learn.checks import announce_torch
    from learn.compare.cell_files import LABEL_EFFICIENCY, SENSITIVITY, TABLE, check_pages
    from learn.compare.config import CompareConfig
    from learn.compare.selection import Selection, parse_numbers

    settings = make_settings(
        context, CompareConfig, "compare", tier, "tier", without=("presets", "seeds", "models")
    )
    wanted = Selection(
        only,
        presets,
        parse_numbers(seeds, "--seeds"),
        limit_hours,
        parse_numbers(models, "--models"),
    )
    wanted.check(settings)
    check_pages(out / tier, overwrite=overwrite)
    announce_torch()
    from learn.compare.run_tier import compare

    outcome = compare(
        tier, settings, out, wanted, show_bars(context), write_note, overwrite=overwrite
    )
    for kind, name in (("table", TABLE), ("picture", LABEL_EFFICIENCY), ("picture", SENSITIVITY)):
        if (outcome.folder / name).is_file():
            say(f"{kind}: {outcome.folder / name}")
    say(outcome.line)
