"""The front door: ``python cli.py --help``. Parses, loads the configuration, calls one function."""

from __future__ import annotations

import json
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
Devices = Annotated[int | None, typer.Option("--devices", help="How many, on each node.")]
Nodes = Annotated[int | None, typer.Option("--nodes", help="How many machines.")]


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
        str,
        typer.Option(
            "--preset",
            help="published: as in the DeepLense data sets; physical: an honest benchmark.",
        ),
    ] = "published",
    backend: Annotated[Backend | None, typer.Option("--backend", help="Who renders.")] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Comma-separated: no_sub,cdm,axion.")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option("--pairs", help="Also render with pixels this much coarser (2)."),
    ] = None,
    non_lens: Annotated[
        float | None,
        typer.Option("--non-lens", help="This fraction of the images are look-alikes, no lenses."),
    ] = None,
    lens_light: Annotated[bool, typer.Option("--lens-light", help="Lenses shine too.")] = False,
    sources: Annotated[
        Path | None,
        typer.Option("--sources", help="Images of real galaxies: Galaxy10 HDF5, or FITS."),
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
        classes=None if classes is None else classes.split(","),
        pairs=pairs,
        workers=workers,
        scheduler=scheduler,
        out=out,
        device=device and device.value,
        seed=seed,
    )
    folder, made = simulate(settings, partial(_image_progress, context))
    typer.echo(f"{'wrote' if made else 'already complete:'} {folder}")
    typer.echo(f"picture: {folder / 'preview.png'}")


@app.command("import")
def import_command(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder of images, or one FITS file.")
    ],
    out: Out = None,
    model: Annotated[
        int | None,
        typer.Option("--model", help="The images are those of DeepLense Model 1, 2 or 3."),
    ] = None,
    instrument: Annotated[
        str | None,
        typer.Option("--instrument", help="Note the PSF and noise of this preset: euclid_vis."),
    ] = None,
    pixel_scale: Annotated[
        float | None,
        typer.Option("--pixel-scale", help="arcsec. Default: of the model, preset or FITS header."),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Crop to this many pixels about the centre.")
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Of the fluxes: e-/s.")] = None,
    label_names: Annotated[
        str | None,
        typer.Option("--label-names", help="Class folders in the order of their labels: a,b."),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Bring published images into the form of a data set: .npy folders and FITS cutouts.

    Folders: no_sub/ cdm/ axion/ (DeepLenseSim), no/ sphere/ vort/ (DeepLense tests), HR/ LR/
    (pairs), each also below train/ val/ test/; FITS files, or folders of them. Nothing in a file
    is executed.
    Run the same command again to go on after an interruption.

    Example: `python cli.py import Model_II --model 2 --out data/deeplense2`
    """
    from simulate.config import load_config, shipped_config
    from simulate.importers.config import ImportConfig

    path = shipped_config("import", "import", "command")
    settings = load_config(
        ImportConfig,
        config or path,
        sets or (),
        out=out,
        model=model,
        instrument=instrument,
        pixel_scale=pixel_scale,
        size=size,
        unit=unit,
        label_names=None if label_names is None else label_names.split(","),
    )
    from simulate.importers.run import import_images

    progress = partial(_image_progress, context, what="import")
    folder, made = import_images(source, settings, progress, _warn)
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
    method: Annotated[
        str, typer.Option("--method", help="mae, ijepa, simclr, moco, dino, ibot or physics-ijepa.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data set. Default: data/model2.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Pretrain on these only, comma-separated.")
    ] = None,
    out: Out = None,
    device: OnDevice = None,
    devices: Devices = None,
    nodes: Nodes = None,
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
        devices=devices,
        nodes=nodes,
        seed=seed,
    )
    from learn.devices import process_rank
    from learn.pretrain import pretrain
    from learn.summary import print_monitor

    folder, made = pretrain(settings)
    if process_rank(settings):
        return
    print_monitor(folder)
    typer.echo(f"{'wrote' if made else 'already complete:'} {folder}")


@app.command("finetune")
def finetune_command(
    task: Annotated[str, typer.Option("--task", help="classify, regress, find or superres.")],
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Folder of a pretrain run, latest, or none (from scratch)."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="With --encoder none: vit, a timm model (resnet18), or rcan (for superres).",
        ),
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
    devices: Devices = None,
    nodes: Nodes = None,
    seed: Seed = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Fine-tune an encoder for a task, and test it on images it has never seen.

    classify: into the classes of the data set. regress: columns of the data set, each with its
    uncertainty; by default those that vary, or --set params.columns=[theta_E,e1,e2]. find: lens or
    not, on data made with --non-lens. superres: high resolution from low, on data with --pairs.
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
        backbone=backbone,
        data=data,
        mode=mode and mode.value,
        labels_per_class=labels_per_class,
        out=out,
        device=device and device.value,
        devices=devices,
        nodes=nodes,
        seed=seed,
    )
    from learn.devices import process_rank
    from learn.finetune import finetune
    from learn.summary import print_metrics

    folder, made = finetune(settings, _warn)
    if process_rank(settings):
        return
    print_metrics(folder)
    typer.echo(f"{'wrote' if made else 'already complete:'} {folder}")


@app.command("evaluate")
def evaluate_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finetune run.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Another data set: all its images. Default: the run's test images."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write metrics, predictions and figures here. Default: nowhere."
        ),
    ] = None,
    device: Annotated[
        Device, typer.Option("--device", help="Where to compute. The run's own test is on cpu.")
    ] = Device.cpu,
) -> None:
    """Test a fine-tuned network again, from its weights, or on another data set.

    On its own data set the metrics are those of the run. Another must have the same pixels and
    unit, and the classes or columns of the task.

    Example: `python cli.py evaluate runs/classify/20260101-120000 --data data/model3`
    """
    from learn.evaluate import evaluate
    from learn.summary import print_pictures, print_result

    result = evaluate(run, data, out, device.value)
    count = f"{len(result.rows)} of {len(result.data)} images of {result.data.path}"
    print_result(f"{run} on {count}", result.metrics)
    if out is not None:
        print_pictures(out)
        typer.echo(f"wrote {out}")


@app.command("predict")
def predict_command(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a fine-tuning run.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="FITS, .npy and HDF5 files, data sets, and folders of such files.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Table (.csv, .ecsv, .fits; default: predictions.csv), or folder of images.",
        ),
    ] = None,
    pixel_scale: Annotated[
        float | None,
        typer.Option("--pixel-scale", help="arcsec, of files that do not say it (.npy)."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Images to predict at a time.")
    ] = None,
    device: OnDevice = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Let a fine-tuned network look at images: a table with a row each, or super-resolved FITS.

    Images on other pixels than the network knows are resampled, those of another size cropped or
    padded about their centres. Broken files are named and left out.

    Example: `python cli.py predict runs/classify/20260102-150000 cutouts/*.fits`
    """
    from simulate.config import load_config, shipped_config

    path = config or shipped_config("predict", "predict", "command")
    from learn.predict import PredictConfig, predict

    settings = load_config(
        PredictConfig,
        path,
        sets or (),
        out=out,
        pixel_scale=pixel_scale,
        batch_size=batch_size,
        device=device and device.value,
    )
    place, count = predict(run, inputs, settings, partial(_byte_progress, context), _warn)
    typer.echo(f"wrote {place} ({count} {'image' if count == 1 else 'images'})")


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a fine-tuning run.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to. Default: RUN/export.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx too.")] = False,
) -> None:
    """Write a fine-tuned network as a folder to give away: weights, configuration, model card.

    Example: `python cli.py export runs/classify/20260102-150000 --out classifier --onnx`
    """
    from learn.export import export

    typer.echo(f"wrote {export(run, out, onnx=onnx)}")


@app.command("audit")
def audit_command(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.")],
    out: Out = None,
    seed: Seed = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Check that a data set is honest: no shortcut to its classes, and a signal to be found.

    The first check needs lenses without substructure (no_sub or no) and others, the second a data
    set of the preset physical. Exit code: 0 if no check failed, 1 if one did, 2 for bad input;
    audit.json is written in the first two cases.

    Example: `python cli.py audit data/model2-physical`
    """
    from learn.audit import AuditConfig, audit, failures
    from learn.summary import print_audit
    from simulate.config import load_config, shipped_config

    path = config or shipped_config("audit", "audit", "audit")
    settings = load_config(AuditConfig, path, sets or (), out=out, seed=seed)
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


@app.command("compare")
def compare_command(
    context: typer.Context,
    tier: Annotated[
        str,
        typer.Option("--tier", help="smoke (a minute), small (hours, 2 cores) or full (a GPU)."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of all tiers.")] = Path("results"),
    only: Annotated[
        str | None,
        typer.Option("--only", help="Rows, comma-separated: mae,radial,mae:no-sub."),
    ] = None,
    presets: Annotated[
        str | None, typer.Option("--presets", help="Comma-separated: published,physical.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Comma-separated, also others than the tier's.")
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="DeepLense Models to measure on: 1,3.")
    ] = None,
    limit_hours: Annotated[
        float | None,
        typer.Option("--limit-hours", min=0, help="Begin no cell after so many hours."),
    ] = None,
    device: OnDevice = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Fill the comparison table, cell by cell: methods, data sets, budgets and seeds.

    Data sets and encoders that cells share are made when the first of them needs them.
    Run the same command again to go on after an interruption; finished cells stay.

    Example: `python cli.py compare --tier small --limit-hours 2`
    """
    from simulate.config import load_config, shipped_config

    path = shipped_config("compare", tier, "tier")
    from learn.compare.config import CompareConfig, comma_separated, numbers
    from learn.compare.run import Wanted, compare

    settings = load_config(
        CompareConfig, config or path, sets or (), device=device and device.value
    )
    wanted = Wanted(
        comma_separated(only),
        comma_separated(presets),
        numbers(seeds, "--seeds"),
        limit_hours,
        numbers(models, "--models"),
    )
    outcome = compare(tier, settings, out, wanted, partial(_image_progress, context), _warn)
    typer.echo(f"table: {outcome.folder / 'table.md'}")
    typer.echo(f"picture: {outcome.folder / 'label_efficiency.png'}")
    typer.echo(outcome.line)


@app.command("report")
def report_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Of a run, of a comparison, or above several.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: DIR/report.html.")
    ] = None,
) -> None:
    """Make one HTML page of a run or a comparison: tables, pictures and configuration.

    The page needs no other file and no network: open it in a browser, or send it to someone.

    Example: `python cli.py report results/small`
    """
    from learn.report import report

    typer.echo(f"wrote {report(folder, out)}")


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
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=what)
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
