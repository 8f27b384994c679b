# ruff: noqa: B008 - defaults that are calls declare options, and typer reads them once
"""The front door: ``python cli.py --help``. Parses, loads the configuration, calls one function."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from lensphys.ground.config import ConfigT
    from simulate.run import Progress

# Heavy imports wait inside the commands, so that --help answers at once.


class _PlainFlags:
    """Flags are shown without the type of a value, since they take none."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class _Command(_PlainFlags, TyperCommand):
    """A command."""


class _Group(_PlainFlags, TyperGroup):
    """All commands."""


app = typer.Typer(
    help="Simulate strong gravitational lenses, pretrain on them, and fine-tune.",
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    cls=_Group,
)
_command = partial(app.command, cls=_Command)

#: The exit code of a shell for Ctrl-C; typer turns KeyboardInterrupt into it, without a word.
_INTERRUPTED = 130
#: What typer raises for a command line that it cannot read, of which it exports one kind alone.
_UsageError: Any = typer.BadParameter.__mro__[1]


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


def _option(name: str, value: str | None, text: str, default: Any = None, **limits: Any) -> Any:
    """An option: its name, what it takes (None: its type says so) and does; ``...``: required."""
    return typer.Option(default, name, metavar=value, help=text, **limits)


def _argument(name: str, text: str) -> Any:
    """An argument by its name, and what it is."""
    return typer.Argument(..., metavar=name, help=text)


_CONFIG = _option("--config", "FILE", "A YAML file in place of the shipped one under configs/.")
_SETS = _option(
    "--set",
    "KEY=VALUE",
    "Change any key of that file, SECTION.KEY=VALUE in a section. May be repeated.",
)
_SEED = _option("--seed", "N", "Of all random numbers.")
_OUT = _option("--out", "DIR", "Folder to write to.")
_DEVICE = _option("--device", None, "Where to compute. Default: auto, a GPU if there is one.")
_DEVICES = _option("--devices", "N", "Train on so many devices of each machine.")
_NODES = _option("--nodes", "N", "Train on so many machines of a cluster.")
_RUN = _argument("RUN", "Folder of a fine-tuning run.")
_DATA = _argument("DIR", "Folder of the data set.")


@app.callback()
def _main(
    debug: bool = _option("--debug", None, "Show the traceback of errors.", False),
) -> None:
    """Simulate strong gravitational lenses, pretrain on them, and fine-tune."""


@_command("simulate")
def simulate_command(
    context: typer.Context,
    model: int = _option("--model", "1|2|3", "DeepLense Model, which means instrument.", ...),
    n: int | None = _option("--n", "N", "Number of images."),
    preset: str = _option(
        "--preset",
        "published|physical",
        "As in the DeepLense data sets, quirks included, or as physics has it.",
        "published",
    ),
    backend: Backend | None = _option("--backend", None, "Who renders: torch is the faster one."),
    classes: str | None = _option("--classes", "A,B", "Of no_sub,cdm,axion. Default: all three."),
    pairs: int | None = _option(
        "--pairs", "FACTOR", "Also render on pixels so many times as wide, as 2."
    ),
    non_lens: float | None = _option(
        "--non-lens", "FRACTION", "So many of the images show look-alikes: 0.3."
    ),
    lens_light: bool = _option("--lens-light", None, "Lens galaxies shine too.", False),
    sources: Path | None = _option(
        "--sources", "FILE", "Real galaxies as sources: Galaxy10 HDF5, FITS, or a folder of FITS."
    ),
    workers: int | None = _option("--workers", "N", "Processes. Default: one for each CPU core."),
    scheduler: str | None = _option(
        "--scheduler", "ADDRESS", "Of Dask workers to use: tcp://host:8786."
    ),
    out: Path | None = _OUT,
    device: Device | None = _DEVICE,
    seed: int | None = _SEED,
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """Make a data set of lens images in HDF5 shards, by default in data/model2 and the like.

    Run the same command again to go on after an interruption.

    Example: `python cli.py simulate --model 2 --n 50000`

    Example: `python cli.py simulate --model 2 --n 1000 --set lens.e1=0.2`
    """
    from lensphys.ground.config import comma_separated
    from simulate.presets import load_simulate_config
    from simulate.run import simulate

    options = [f"non_lens.fraction={non_lens}"] if non_lens is not None else []
    options += ["lens_light.enabled=true"] if lens_light else []
    options += [f"galaxies.path={json.dumps(str(sources))}"] if sources else []
    settings = load_simulate_config(
        model,
        preset,
        [*(sets or ()), *options],
        path=config,
        n=n,
        backend=backend and backend.value,
        classes=comma_separated(classes),
        pairs=pairs,
        workers=workers,
        scheduler=scheduler,
        out=out,
        device=device and device.value,
        seed=seed,
    )
    _print_data_set(*simulate(settings, partial(_image_progress, context)))


@_command("import")
def import_command(
    context: typer.Context,
    source: Path = _argument("SOURCE", "A folder of images, or one FITS file."),
    out: Path | None = _option(
        "--out", "DIR", "Folder to write to. Default: data/imported/SOURCE."
    ),
    model: int | None = _option(
        "--model", "1|2|3", "The images are those of this DeepLense Model."
    ),
    instrument: str | None = _option(
        "--instrument",
        "NAME",
        "Note the PSF and noise of this instrument: euclid_vis, hst_acs_f814w, ...",
    ),
    pixel_scale: float | None = _option(
        "--pixel-scale",
        "ARCSEC",
        "Width of a pixel. Default: of the FITS header, model or instrument.",
    ),
    exposure_time: float | None = _option(
        "--exposure-time", "SECONDS", "In all, of every image. Default: EXPTIME in the FITS header."
    ),
    size: int | None = _option("--size", "N", "Crop to so many pixels on a side about the centre."),
    unit: str | None = _option(
        "--unit",
        "NAME",
        "Of the fluxes: 'e-/s', counts, or any other. Default: BUNIT in the FITS header.",
    ),
    label_names: str | None = _option(
        "--label-names", "A,B", "Import these class folders alone, in the order of their labels."
    ),
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """Bring published images into the form of a data set: .npy folders and FITS cutouts.

    Folders: no_sub/ cdm/ axion/ (DeepLenseSim), no/ sphere/ vort/ (DeepLense tests), HR/ LR/
    (pairs), each also below train/ val/ test/; FITS files, or folders of them. Nothing in a file
    is executed.

    Run the same command again to go on after an interruption.

    Example: `python cli.py import Model_II --model 2 --out data/deeplense2`

    Example: `python cli.py import cutouts --label-names lenses,others --instrument euclid_vis`
    """
    from lensphys.ground.config import comma_separated
    from simulate.importers.config import ImportConfig

    settings = _settings(
        ImportConfig,
        ("import", "import", "command"),
        config,
        sets,
        out=out,
        model=model,
        instrument=instrument,
        pixel_scale=pixel_scale,
        exposure_time=exposure_time,
        size=size,
        unit=unit,
        label_names=comma_separated(label_names),
    )
    from simulate.importers.run import import_images

    progress = partial(_image_progress, context, what="import")
    _print_data_set(*import_images(source, settings, progress, _warn))


@_command("inspect")
def inspect_command(
    context: typer.Context,
    folder: Path = _DATA,
    verify: bool = _option("--verify", None, "Read every shard and compare its checksum.", False),
) -> None:
    """Show what is in a data set: classes, parameters, and a picture.

    Example: `python cli.py inspect data/model2 --verify`
    """
    from rich.console import Console

    from simulate.dataset.inspection import inspect
    from simulate.dataset.inspection import verify as damages

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


@_command("pretrain")
def pretrain_command(
    method: str = _option(
        "--method", "NAME", "mae, ijepa, simclr, moco, dino, ibot or physics-ijepa.", ...
    ),
    data: Path | None = _option("--data", "DIR", "Folder of the data set. Default: data/model2."),
    classes: str | None = _option("--classes", "A,B", "Images of these classes alone."),
    out: Path | None = _OUT,
    device: Device | None = _DEVICE,
    devices: int | None = _DEVICES,
    nodes: int | None = _NODES,
    seed: int | None = _SEED,
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """Pretrain an encoder without labels; the run goes to a folder of its own under runs/.

    Run the same command again to go on after an interruption.

    Example: `python cli.py pretrain --method mae`

    Example: `python cli.py pretrain --method mae --data data/model3 --set optimizer.epochs=20`
    """
    from learn.config import PretrainConfig
    from lensphys.ground.config import comma_separated

    settings = _settings(
        PretrainConfig,
        ("pretrain", method, "method"),
        config,
        sets,
        method=method,
        data=data,
        classes=comma_separated(classes),
        out=out,
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
    )
    from learn.pretrain import pretrain
    from learn.reporting.terminal import print_monitor
    from learn.training.processes import process_rank

    folder, made = pretrain(settings)
    if process_rank(settings):
        return
    print_monitor(folder)
    _print_written(folder, made)


@_command("finetune")
def finetune_command(
    task: str = _option("--task", "NAME", "classify, regress, find or superres.", ...),
    encoder: str | None = _option(
        "--encoder",
        "DIR",
        "Folder of a pretraining run; latest: the last one; none: train from scratch.",
    ),
    backbone: str | None = _option(
        "--backbone",
        "NAME",
        "With --encoder none: vit, a timm model (resnet18), or rcan (for superres).",
    ),
    data: Path | None = _option(
        "--data", "DIR", "Folder of the data set. Default: the first of data/model* that serves."
    ),
    mode: Mode | None = _option(
        "--mode", None, "Train all of the network, or (linear) the last layer alone."
    ),
    labels_per_class: int | None = _option(
        "--labels-per-class", "N", "Train on so many labels a class."
    ),
    out: Path | None = _OUT,
    device: Device | None = _DEVICE,
    devices: int | None = _DEVICES,
    nodes: int | None = _NODES,
    seed: int | None = _SEED,
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """Fine-tune an encoder for a task, and test it on images it has never seen.

    classify: into the classes of the data set. regress: columns of the data set, each with its
    uncertainty; by default those that vary, or --set params.columns=[theta_E,e1,e2]. find: lens or
    not, on data made with --non-lens. superres: high resolution from low, on data with --pairs.

    Run the same command again to go on after an interruption.

    Example: `python cli.py finetune --task classify --labels-per-class 1000`
    """
    from learn.config import FinetuneConfig

    settings = _settings(
        FinetuneConfig,
        ("finetune", task, "task"),
        config,
        sets,
        task=task,
        encoder=encoder,
        backbone=backbone,
        data=data,
        mode=mode,
        labels_per_class=labels_per_class,
        out=out,
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
    )
    from learn.finetune import finetune
    from learn.reporting.terminal import print_run
    from learn.tasks import task_report
    from learn.training.processes import process_rank

    folder, made = finetune(settings, _warn)
    if process_rank(settings):
        return
    print_run(folder, task_report(settings.task))
    _print_written(folder, made)


@_command("evaluate")
def evaluate_command(
    run: Path = _RUN,
    data: Path | None = _option(
        "--data", "DIR", "Test on all images of another data set. Default: the run's test images."
    ),
    out: Path | None = _option(
        "--out", "DIR", "Folder for metrics, predictions and figures. Default: nothing is written."
    ),
    device: Device = _option(
        "--device", None, "Where to compute. The run's own test is on cpu.", Device.cpu
    ),
) -> None:
    """Test a fine-tuned network again, from its weights, or on another data set.

    On its own data set the metrics are those of the run. Another must have the same pixels and
    unit, and the classes or columns of the task.

    Example: `python cli.py evaluate runs/classify/20260101-120000 --data data/model3`
    """
    from learn.inference.evaluate import evaluate
    from learn.reporting.terminal import print_pictures, print_result
    from learn.tasks import task_report

    result = evaluate(run, data, out, device.value)
    count = f"{len(result.rows)} of {len(result.data)} images of {result.data.path}"
    print_result(f"{run} on {count}", result.metrics, task_report(result.task))
    if out is not None:
        print_pictures(out)
        typer.echo(f"wrote {out}")


@_command("predict")
def predict_command(
    context: typer.Context,
    run: Path = _argument("RUN", "Folder of a fine-tuning run, or of what was exported of it."),
    inputs: list[Path] = _argument(
        "INPUT", "FITS, .npy and HDF5 files, data sets, and folders of such files."
    ),
    out: Path | None = _option(
        "--out",
        "FILE",
        "Table (.csv, .ecsv, .fits; default: predictions.csv); of a superres run a folder of "
        "images (default: predictions).",
    ),
    pixel_scale: float | None = _option(
        "--pixel-scale", "ARCSEC", "Of files that do not say it, as .npy."
    ),
    exposure_time: float | None = _option(
        "--exposure-time",
        "SECONDS",
        "In all, of images that do not say it. Default: the median of the training images.",
    ),
    batch_size: int | None = _option("--batch-size", "N", "Images to predict at a time."),
    device: Device | None = _DEVICE,
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """Let a fine-tuned network look at images: a table with a row each, or super-resolved FITS.

    Images on other pixels than the network knows are resampled, those of another size cropped or
    padded about their centres. Broken files are named and left out.

    Example: `python cli.py predict runs/classify/20260102-150000 cutouts/*.fits`
    """
    from learn.inference.predict import PredictConfig, predict

    settings = _settings(
        PredictConfig,
        ("predict", "predict", "command"),
        config,
        sets,
        out=out,
        pixel_scale=pixel_scale,
        exposure_time=exposure_time,
        batch_size=batch_size,
        device=device,
    )
    place, count = predict(run, inputs, settings, partial(_byte_progress, context), _warn)
    typer.echo(f"wrote {place} ({count} {'image' if count == 1 else 'images'})")


@_command("export")
def export_command(
    run: Path = _RUN,
    out: Path | None = _option("--out", "DIR", "Folder to write to. Default: RUN/export."),
    onnx: bool = _option("--onnx", None, "Write model.onnx too.", False),
) -> None:
    """Write a fine-tuned network as a folder to give away: weights, configuration, model card.

    Example: `python cli.py export runs/classify/20260102-150000 --out classifier --onnx`
    """
    from learn.inference.export import export

    typer.echo(f"wrote {export(run, out, onnx=onnx)}")


@_command("audit")
def audit_command(
    data: Path = _DATA,
    out: Path | None = _option(
        "--out", "DIR", "Folder to write to. Default: that of the data set."
    ),
    seed: int | None = _SEED,
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """Check that a data set is honest: no shortcut to its classes, and a signal to be found.

    The first check needs lenses without substructure (no_sub or no) and others, the second a data
    set of the preset physical. Exit code: 0 if no check failed, 1 if one did, 2 for bad input;
    audit.json is written in the first two cases.

    Example: `python cli.py audit data/model2-physical`
    """
    from learn.audit import AuditConfig, audit, failures
    from learn.reporting.terminal import print_audit

    of = ("audit", "audit", "command")
    settings = _settings(AuditConfig, of, config, sets, out=out, seed=seed)
    result = audit(data, settings)
    print_audit(result)
    folder = settings.out or data
    if result["twin_skipped"]:
        typer.echo(f"no check of the signal: {result['twin_skipped']}")
    else:
        typer.echo(f"picture: {folder / 'audit.png'}")
    typer.echo(f"wrote {folder / 'audit.json'}")
    for line in failures(result):
        typer.echo(f"failed: {line}", err=True)
    if failures(result):
        raise typer.Exit(1)


@_command("demo")
def demo_command(
    context: typer.Context,
    out: Path = _option("--out", "DIR", "Folder to write to.", Path("demo")),
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """The main job in minutes: simulate, pretrain, fine-tune, and a table at the end.

    Example: `python cli.py demo`
    """
    from learn.demo import DemoConfig, demo

    settings = _settings(DemoConfig, ("demo", "demo", "command"), config, sets)
    demo(settings, out, partial(_image_progress, context))


@_command("compare")
def compare_command(
    context: typer.Context,
    tier: str = _option(
        "--tier",
        "smoke|small|full",
        "How much: smoke takes minutes, small hours on 2 cores, full a GPU.",
        ...,
    ),
    out: Path = _option("--out", "DIR", "Folder that holds one for each tier.", Path("results")),
    only: str | None = _option("--only", "A,B", "These rows alone: mae,radial,mae:no-sub."),
    presets: str | None = _option("--presets", "A,B", "Data of these alone: published,physical."),
    seeds: str | None = _option(
        "--seeds", "N,N", "These seeds alone, also others than the tier's."
    ),
    models: str | None = _option(
        "--models", "N,N", "Measure on these DeepLense Models alone: 1,3."
    ),
    limit_hours: float | None = _option(
        "--limit-hours",
        "HOURS",
        "Begin no cell after so many hours; 0: table and figures alone.",
        min=0,
    ),
    device: Device | None = _DEVICE,
    config: Path | None = _CONFIG,
    sets: list[str] | None = _SETS,
) -> None:
    """Fill the comparison table, cell by cell: methods, data sets, budgets and seeds.

    Data sets and encoders that cells share are made when the first of them needs them.

    Run the same command again to go on after an interruption; finished cells stay.

    Example: `python cli.py compare --tier small --limit-hours 2`
    """
    from learn.compare.cell_files import LABEL_EFFICIENCY, SENSITIVITY, TABLE
    from learn.compare.config import CompareConfig
    from learn.compare.selection import Selection, parse_numbers
    from lensphys.ground.config import comma_separated

    settings = _settings(CompareConfig, ("compare", tier, "tier"), config, sets, device=device)
    wanted = Selection(
        comma_separated(only),
        comma_separated(presets),
        parse_numbers(seeds, "--seeds"),
        limit_hours,
        parse_numbers(models, "--models"),
    )
    wanted.check(settings)
    from learn.compare.run_tier import compare

    outcome = compare(tier, settings, out, wanted, partial(_image_progress, context), _warn)
    for kind, name in (("table", TABLE), ("picture", LABEL_EFFICIENCY), ("picture", SENSITIVITY)):
        if (outcome.folder / name).is_file():
            typer.echo(f"{kind}: {outcome.folder / name}")
    typer.echo(outcome.line)


@_command("report")
def report_command(
    folder: Path = _argument(
        "DIR", "Folder of a run or of a comparison, or one that holds several."
    ),
    out: Path | None = _option("--out", "FILE", "Page to write. Default: DIR/report.html."),
) -> None:
    """Make one HTML page of a run or a comparison: tables, pictures and configuration.

    The page needs no other file and no network: open it in a browser, or send it to someone.

    Example: `python cli.py report results/small`
    """
    from learn.reporting.report import report

    typer.echo(f"wrote {report(folder, out)}")


def _settings(
    schema: type[ConfigT],
    shipped: tuple[str, str, str],
    path: Path | None,
    sets: list[str] | None,
    **options: Any,
) -> ConfigT:
    """The shipped configuration, or another in its place, with what the options say."""
    from lensphys.ground.config import load_config, shipped_config

    default = shipped_config(*shipped)  # refuses unknown names whatever is in its place
    values = {key: v.value if isinstance(v, StrEnum) else v for key, v in options.items()}
    return load_config(schema, path or default, sets or (), **values)


def _print_written(folder: Path, made: bool) -> None:
    typer.echo(f"{'wrote' if made else 'already complete:'} {folder}")


def _print_data_set(folder: Path, made: bool) -> None:
    _print_written(folder, made)
    typer.echo(f"picture: {folder / 'preview.png'}")


def _warn(line: str) -> None:
    """Print one line to standard error, above a progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


def _image_progress(
    context: typer.Context, total: int, done: int, what: str = "simulate"
) -> Progress:
    """A progress bar over images on the terminal, closed with the command whatever ends it."""
    from tqdm import tqdm

    bar = tqdm(total=total, initial=done, unit="img", desc=what, disable=done == total)
    context.call_on_close(bar.close)  # else an error message starts in the middle of its line

    def report(count: int) -> None:
        bar.update(count)
        if bar.n >= total:
            bar.close()

    return report


def _byte_progress(
    context: typer.Context, files: list[Path], what: str = "predict"
) -> Callable[[Path, float], None]:
    """A progress bar over the bytes of files: how many images are in them shows only then."""
    from tqdm import tqdm

    sizes = {path: path.stat().st_size for path in files}
    parts, dealt = dict.fromkeys(sizes, 0.0), dict.fromkeys(sizes, 0)
    total = sum(sizes.values())
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=what, disable=not total)
    context.call_on_close(bar.close)

    def report(path: Path, part: float) -> None:
        # Whole bytes, since the parts of a file do not add up to the last digit.
        parts[path] += part
        done = round(min(parts[path], 1.0) * sizes[path])
        bar.update(done - dealt[path])
        dealt[path] = done
        if bar.n >= total:
            bar.close()

    return report


def _expected_errors() -> tuple[type[BaseException], ...]:
    """Errors that the user can put right: they get one line and exit code 2."""
    from lensphys.ground.errors import InputError

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
        code = run(arguments or ["--help"], prog_name="cli.py", standalone_mode=False)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "cli.py"
        _fail(f"error: {error.format_message()} (see `python {command} --help`)", error.exit_code)
    except _expected_errors() as error:
        if "--debug" in arguments:
            raise
        _fail(f"error: {error}", 2)
    if code == _INTERRUPTED:
        _fail("interrupted; run the same command again to go on where it stopped", code)
    sys.exit(code)


if __name__ == "__main__":
    main()
