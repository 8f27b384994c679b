"""The front door: ``python cli.py --help``. Parses, loads the configuration, calls one function."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulate.run import Progress

# Heavy imports wait inside the commands, so that --help answers at once.

app = typer.Typer(
    help="Simulate strong gravitational lenses, pretrain on them, and fine-tune.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)


#: The exit code of a shell for Ctrl-C; typer turns KeyboardInterrupt into it, without a word.
_INTERRUPTED = 130


class Backend(StrEnum):
    """Who renders."""

    torch = "torch"
    lenstronomy = "lenstronomy"


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Mode(StrEnum):
    """What is trained."""

    full = "full"
    linear = "linear"


ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A YAML file in place of the shipped one.")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override any key: --set lens.e1=0.2.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of everything random.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write to.")]
OnDevice = Annotated[Device | None, typer.Option("--device", help="Where to compute.")]


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
) -> None:
    """Simulate strong gravitational lenses, pretrain on them, and fine-tune."""


@app.command("simulate")
def simulate_command(
    context: typer.Context,
    model: Annotated[int, typer.Option("--model", help="DeepLense Model 1, 2 or 3.")],
    n: Annotated[int | None, typer.Option("--n", help="Number of images.")] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="published: as in the DeepLense data sets.")
    ] = "published",
    backend: Annotated[Backend | None, typer.Option("--backend", help="Who renders.")] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Comma-separated: no_sub,cdm,axion.")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option("--pairs", help="Also render with pixels this much coarser (2)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes. Default: one a CPU core.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler whose workers do it: tcp://host:8786."),
    ] = None,
    out: Out = None,
    device: OnDevice = None,
    seed: Seed = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Make a data set of lens images in HDF5 shards.

    Run the same command again to go on after an interruption.

    Example: `python cli.py simulate --model 2 --n 50000`
    """
    from simulate.config import SimulateConfig, load_config, simulate_config_path
    from simulate.errors import InputError
    from simulate.run import simulate

    path = simulate_config_path(model, preset)
    settings = load_config(
        SimulateConfig,
        config or path,
        sets or (),
        n=n,
        backend=backend and backend.value,
        classes=None if classes is None else classes.split(","),
        pairs=pairs,
        workers=workers,
        scheduler=scheduler,
        out=out,
        device=device and device.value,
        seed=seed,
    )
    if (settings.model, settings.preset) != (model, preset):
        raise InputError(
            f"{config or path} is for model {settings.model}, preset {settings.preset}; give "
            f"--model {settings.model} --preset {settings.preset}"
        )
    folder, made = simulate(settings, partial(_image_progress, context))
    typer.echo(f"{'wrote' if made else 'already complete:'} {folder}")
    typer.echo(f"picture: {folder / 'preview.png'}")


@app.command("inspect")
def inspect_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Of the data set.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every shard and compare its checksum.")
    ] = False,
) -> None:
    """Show what is in a data set: classes, parameters, and a picture.

    Example: `python cli.py inspect data/model2 --verify`
    """
    from rich.console import Console

    from simulate.inspection import inspect
    from simulate.inspection import verify as damages

    summary = inspect(folder, Console())
    damaged = [f"{folder / name} cannot be read" for name in summary.unreadable]
    if verify:
        damaged = list(damages(summary, _image_progress(context, summary.total, 0, "verify")))
        if not damaged:
            typer.echo(f"all {len(summary.manifest['shards'])} shards are intact")
    for line in damaged:
        typer.echo(f"error: {line}", err=True)
    if damaged:
        raise typer.Exit(2)


@app.command("pretrain")
def pretrain_command(
    method: Annotated[str, typer.Option("--method", help="mae or ijepa.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data set. Default: data/model2.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Pretrain on these only, comma-separated.")
    ] = None,
    out: Out = None,
    device: OnDevice = None,
    seed: Seed = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Pretrain an encoder without labels.

    Run the same command again to go on after an interruption.

    Example: `python cli.py pretrain --method mae`
    """
    from learn.config import PretrainConfig
    from simulate.config import load_config, shipped_config

    path = shipped_config("pretrain", method, "method")
    settings = load_config(
        PretrainConfig,
        config or path,
        sets or (),
        method=method,
        data=data,
        classes=None if classes is None else classes.split(","),
        out=out,
        device=device and device.value,
        seed=seed,
    )
    from learn.train import pretrain

    folder, made = pretrain(settings)
    typer.echo(f"{'wrote' if made else 'already complete:'} {folder}")


@app.command("finetune")
def finetune_command(
    task: Annotated[str, typer.Option("--task", help="classify or superres.")],
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Folder of a pretrain run, latest, or none (from scratch)."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Data set. Default: the first of data/model* that serves."),
    ] = None,
    mode: Annotated[
        Mode | None, typer.Option("--mode", help="full, or linear: leave the encoder as it is.")
    ] = None,
    labels_per_class: Annotated[
        int | None, typer.Option("--labels-per-class", help="Train on so many labels a class.")
    ] = None,
    out: Out = None,
    device: OnDevice = None,
    seed: Seed = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Fine-tune an encoder for a task, and test it on images it has never seen.

    Run the same command again to go on after an interruption.

    Example: `python cli.py finetune --task classify --labels-per-class 1000`
    """
    from learn.config import FinetuneConfig
    from simulate.config import load_config, shipped_config

    path = shipped_config("finetune", task, "task")
    settings = load_config(
        FinetuneConfig,
        config or path,
        sets or (),
        task=task,
        encoder=encoder,
        data=data,
        mode=mode and mode.value,
        labels_per_class=labels_per_class,
        out=out,
        device=device and device.value,
        seed=seed,
    )
    from learn.finetune import finetune
    from learn.summary import print_metrics

    folder, made = finetune(settings)
    print_metrics(folder)
    typer.echo(f"{'wrote' if made else 'already complete:'} {folder}")


@app.command("demo")
def demo_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("demo"),
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """The main job in minutes: simulate, pretrain, fine-tune, and a table at the end.

    Example: `python cli.py demo`
    """
    from learn.demo import DemoConfig, demo
    from simulate.config import load_config, shipped_config

    path = config or shipped_config("demo", "demo", "demo")
    demo(load_config(DemoConfig, path, sets or ()), out, partial(_image_progress, context))


def _image_progress(
    context: typer.Context, total: int, done: int, work: str = "simulate"
) -> Progress:
    """A progress bar over images on the terminal, closed with the command whatever ends it."""
    from tqdm import tqdm

    bar = tqdm(total=total, initial=done, unit="img", desc=work, disable=done == total)
    context.call_on_close(bar.close)  # else an error message starts in the middle of its line

    def report(count: int) -> None:
        bar.update(count)
        if bar.n >= total:
            bar.close()

    return report


def _expected_errors() -> tuple[type[BaseException], ...]:
    """Errors that the user can put right: they get one line and exit code 2."""
    from simulate.errors import InputError

    return InputError, OSError


def _fail(message: str, code: int) -> None:
    """Print one line to standard error and exit."""
    typer.echo(" ".join(message.split()), err=True)
    sys.exit(code)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of the user end in one line and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    run: Callable[..., Any] = app
    try:
        run(arguments, prog_name="cli.py")
    except SystemExit as stop:
        if stop.code != _INTERRUPTED:
            raise
        _fail("interrupted; run the same command again to go on where it stopped", _INTERRUPTED)
    except _expected_errors() as error:
        if "--debug" in arguments:
            raise
        _fail(f"error: {error}", 2)


if __name__ == "__main__":
    main()
