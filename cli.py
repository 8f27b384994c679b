"""The front door: ``python cli.py --help``. Parses, loads the configuration, calls one function.

The signature of a function is its command. An option that bears the name of a key of the
configuration fills it. Names in braces in a help text are those that a registry knows.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# How threads wait is settled before torch is imported: spinning, they take the time of others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import typer
from typer.core import TyperCommand, TyperGroup

from lensphys.ground.names import plain_text
from lensphys.ground.program import program
from lensphys.ground.progress import show_files, show_images, write_note

if TYPE_CHECKING:
    from lensphys.ground.config import ConfigT
    from simulate.run import Progress

# Heavy imports wait inside the commands, so that --help and refusals answer at once.

#: The exit code of a shell for Ctrl-C; typer turns KeyboardInterrupt into it, without a word.
_INTERRUPTED = 130


class _Names:
    """Names that a registry knows: in a text "a, b or c", or with another separator."""

    def __init__(self, known: Callable[[], Iterable[Any]]) -> None:
        self.known = known

    def __format__(self, separator: str) -> str:
        names = [str(name) for name in self.known()]
        if separator or len(names) < 2:
            return separator.join(names)
        return f"{', '.join(names[:-1])} or {names[-1]}"


def _known(place: str, *arguments: Any) -> _Names:
    """The names at "module:attribute", or those that a function there returns."""

    def find() -> Iterable[Any]:
        from lensphys.ground.registry import load

        found = load(place)
        names = found(*arguments) if callable(found) else found
        return [names] if isinstance(names, str) else names

    return _Names(find)


#: What stands in braces in a help text.
NAMES = {
    "methods": _known("learn.methods:METHODS"),
    "tasks": _known("learn.tasks:TASKS"),
    "described_tasks": _known("lensphys.ground.config:describe_files", "finetune"),
    "modes": _known("learn.config:MODES"),
    "tiers": _known("lensphys.ground.config:config_files", "compare"),
    "models": _known("simulate.presets:known_models"),
    "presets": _known("simulate.presets:known_presets"),
    "classes": _known("simulate.substructure:known_classes"),
    "backends": _known("simulate.backends:BACKENDS"),
    "masses": _known("learn.modelling.settings:MASSES"),
    "lens_lights": _known("learn.modelling.settings:LENS_LIGHTS"),
    "light_sources": _known("learn.modelling.settings:SOURCES"),
    "devices": _known("lensphys.ground.devices:DEVICES"),
}


class _KnowsNames:
    """The help of a command, with names of the registries and of the program."""

    help: str | None
    params: list[Any]

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""  # it takes no value
        return params

    def fill_help(self) -> None:
        """Put in names of the registries and of the program."""
        self.help = (self.help or "").replace("python cli.py", program()).format_map(NAMES)
        for param in self.params:
            param.help = (param.help or "").format_map(NAMES)
            param.metavar = param.metavar and param.metavar.format_map(NAMES)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.fill_help()
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(_KnowsNames, TyperCommand):
    """A command."""


class _Group(_KnowsNames, TyperGroup):
    """All commands."""


app = typer.Typer(
    help="Simulate strong gravitational lenses, pretrain on them, and fine-tune.",
    pretty_exceptions_enable=False,
    add_completion=program() == "lensphys",  # shells complete commands of one word
    rich_markup_mode="markdown",
    cls=_Group,
)
_command = partial(app.command, cls=Command)


def _option(text: str, takes: str | None = None, **settings: Any) -> Any:
    """An option: its help, and what it takes."""
    return typer.Option(help=text, metavar=takes, **settings)


def _flag(name: str, text: str, **settings: Any) -> Any:
    """An option that takes no value."""
    return typer.Option(name, help=text, **settings)


def _one_of(names: str, text: str) -> Any:
    """An option that takes one of the names of a registry."""

    def parse(name: str) -> str:
        known = [str(each) for each in NAMES[names].known()]
        if name not in known:
            raise typer.BadParameter(f"'{name}' is not one of {', '.join(known)}")
        return name

    return _option(text, f"{{{names}:|}}", parser=parse)


def _several(text: str, takes: str = "A,B") -> Any:
    """An option that takes names with commas between them."""

    def parse(names: str) -> tuple[str, ...] | None:
        from lensphys.ground.config import split_names

        return split_names(names)

    return _option(text, takes, parser=parse)


Config = Annotated[
    Path | None, _option("A YAML file in place of the shipped one under configs/.", "FILE")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change any key of that file, SECTION.KEY=VALUE in a section. May be repeated.",
    ),
]
Seed = Annotated[int | None, _option("Of all random numbers.", "N")]
Out = Annotated[Path | None, _option("Folder to write to.", "DIR")]
Device = Annotated[
    str | None, _one_of("devices", "Where to compute. Default: auto, a GPU if there is one.")
]
Devices = Annotated[int | None, _option("Train on so many devices of each machine.", "N")]
Nodes = Annotated[int | None, _option("Train on so many machines of a cluster.", "N")]
Overwrite = Annotated[
    bool, _flag("--overwrite", "Replace files that this program has not made, but no inputs.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a fine-tuning run.")]
Data = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from lensphys import __version__

        typer.echo(f"lensphys {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    debug: Annotated[bool, _flag("--debug", "Show the traceback of errors.")] = False,
    version: Annotated[
        bool, _flag("--version", "Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Simulate strong gravitational lenses, pretrain on them, and fine-tune."""


@_command("simulate")
def simulate_command(
    context: typer.Context,
    model: Annotated[int, _option("DeepLense Model, which means instrument.", "{models:|}")],
    n: Annotated[int | None, _option("Number of images.", "N")] = None,
    preset: Annotated[
        str,
        _option(
            "As in the DeepLense data sets, quirks included, or as physics has it.", "{presets:|}"
        ),
    ] = "published",
    backend: Annotated[
        str | None, _one_of("backends", "Who renders: torch is the faster one.")
    ] = None,
    classes: Annotated[
        Any, _several("Of {classes:,}. Default: the three of the DeepLense data sets.")
    ] = None,
    pairs: Annotated[
        int | None, _option("Also render on pixels so many times as wide, as 2.", "FACTOR")
    ] = None,
    non_lens: Annotated[
        float | None, _option("So many of the images show look-alikes: 0.3.", "FRACTION")
    ] = None,
    lens_light: Annotated[bool, _flag("--lens-light", "Lens galaxies shine too.")] = (False),
    sources: Annotated[
        Path | None,
        _option("Real galaxies as sources: Galaxy10 HDF5, FITS, or a folder of FITS.", "FILE"),
    ] = None,
    workers: Annotated[
        int | None, _option("Processes. Default: one for each CPU core.", "N")
    ] = None,
    scheduler: Annotated[
        str | None, _option("Of Dask workers to use: tcp://host:8786.", "ADDRESS")
    ] = None,
    out: Out = None,
    device: Device = None,
    seed: Seed = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Make a data set of lens images in HDF5 shards, by default in data/model2 and the like.

    Run the same command again to go on after an interruption.

    Example: `python cli.py simulate --model 2 --n 50000`

    Example: `python cli.py simulate --model 2 --n 1000 --set lens.e1=0.2`
    """
    from simulate.presets import load_simulate_config
    from simulate.run import simulate

    overrides = {
        "non_lens.fraction": non_lens,
        "lens_light.enabled": lens_light or None,
        "galaxies.path": sources,
    }
    settings = load_simulate_config(
        model,
        preset,
        sets or (),
        path=config,
        overrides={key: value for key, value in overrides.items() if value is not None},
        n=n,
        backend=backend,
        classes=classes,
        pairs=pairs,
        workers=workers,
        scheduler=scheduler,
        out=out,
        device=device,
        seed=seed,
    )
    _print_data_set(*simulate(settings, _bars(context)))


@_command("import")
def import_command(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder of images, or one .npy or FITS file.")
    ],
    out: Annotated[
        Path | None, _option("Folder to write to. Default: data/imported/SOURCE.", "DIR")
    ] = None,
    model: Annotated[
        int | None, _option("The images are those of this DeepLense Model.", "{models:|}")
    ] = None,
    instrument: Annotated[
        str | None,
        _option("Note the PSF and noise of this one: euclid_vis, hst_acs_f814w, ...", "NAME"),
    ] = None,
    pixel_scale: Annotated[
        float | None,
        _option("Width of a pixel. Default: of the FITS header, model or instrument.", "ARCSEC"),
    ] = None,
    exposure_time: Annotated[
        float | None,
        _option("In all, of every image. Default: EXPTIME in the FITS header.", "SECONDS"),
    ] = None,
    size: Annotated[
        int | None, _option("Crop to so many pixels on a side about the centre.", "N")
    ] = None,
    unit: Annotated[
        str | None,
        _option(
            "Of the fluxes: 'e-/s', counts, or any other. Default: BUNIT in the FITS header.",
            "NAME",
        ),
    ] = None,
    label_names: Annotated[
        Any, _several("Import these class folders alone, in the order of their labels.")
    ] = None,
    hdu: Annotated[
        str | None,
        _option(
            "Extension of FITS files to take. Default: SCI, or the first image.", "NAME|NUMBER"
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Bring published images into the form of a data set: .npy folders and FITS cutouts.

    Folders: no_sub/ cdm/ axion/ (DeepLenseSim), no/ sphere/ vort/ (DeepLense tests), HR/ LR/
    (pairs), each also below train/ val/ test/; .npy or FITS files, or folders of FITS files. Noise
    maps, PSFs and masks beside images are left out. Nothing in a file is executed.

    Run the same command again to go on after an interruption.

    Example: `python cli.py import Model_II --model 2 --out data/deeplense2`

    Example: `python cli.py import cutouts --label-names lenses,others --instrument euclid_vis`
    """
    from simulate.importers.config import ImportConfig

    settings = _settings(context, ImportConfig, "import", "import", "command")
    from simulate.importers.run import import_images

    progress = _bars(context, "import")
    _print_data_set(*import_images(source, settings, progress, write_note))


@_command("inspect")
def inspect_command(
    context: typer.Context,
    folder: Data,
    verify: Annotated[
        bool, _flag("--verify", "Read every shard and compare its checksum.")
    ] = False,
) -> None:
    """Show what is in a data set: classes, parameters, and a picture.

    Example: `python cli.py inspect data/model2 --verify`
    """
    from lensphys.ground.console import PlainConsole
    from simulate.dataset.inspection import inspect
    from simulate.dataset.inspection import verify as damages

    summary = inspect(folder, PlainConsole())
    damaged = list(summary.damaged.values())
    if verify:
        damaged = list(damages(summary, _bars(context, "verify")(summary.total, 0)))
        if not damaged:
            _say(f"all {len(summary.manifest['shards'])} shards are intact")
    for line in damaged:
        _say(f"error: {line}", err=True)
    if damaged:
        raise typer.Exit(2)


@_command("pretrain")
def pretrain_command(
    context: typer.Context,
    method: Annotated[str, _option("{methods}.", "NAME")],
    data: Annotated[
        Path | None, _option("Folder of the data set. Default: data/model2.", "DIR")
    ] = None,
    classes: Annotated[Any, _several("Images of these classes alone.")] = None,
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

    settings = _settings(context, PretrainConfig, "pretrain", method, "method")
    check_pretraining(settings)
    announce_torch()
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
    context: typer.Context,
    task: Annotated[str, _option("{tasks}.", "NAME")],
    encoder: Annotated[
        str | None,
        _option(
            "Folder of a pretraining run; latest: the last one; none: train from scratch.", "DIR"
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        _option(
            "With --encoder none: vit, a timm model (resnet18), or rcan (for superres).", "NAME"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        _option("Folder of the data set. Default: the first of data/model* that serves.", "DIR"),
    ] = None,
    mode: Annotated[
        str | None,
        _one_of("modes", "Train all of the network, or (linear) the last layer alone."),
    ] = None,
    labels_per_class: Annotated[
        int | None, _option("Train on so many labels a class.", "N")
    ] = None,
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

    settings = _settings(context, FinetuneConfig, "finetune", task, "task")
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
    _print_written(folder, made)


@_command("evaluate")
def evaluate_command(
    run: Run,
    data: Annotated[
        Path | None,
        _option("Test on all images of another data set. Default: the run's test images.", "DIR"),
    ] = None,
    out: Annotated[
        Path | None,
        _option("Folder for metrics, predictions and figures. Default: nothing is written.", "DIR"),
    ] = None,
    device: Annotated[
        str, _one_of("devices", "Where to compute. The run's own test is on cpu.")
    ] = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Test a fine-tuned network again, from its weights, or on another data set.

    On its own data set the metrics are those of the run. Another must have the same pixels and
    unit, and the classes or columns of the task.

    Example: `python cli.py evaluate runs/classify/20260101-120000 --data data/model3`
    """
    from learn.checks import announce_torch, check_data
    from learn.inference.outputs import check_evaluation
    from learn.run_files import read_run_config
    from learn.tasks import task_report

    report = task_report(read_run_config(run).task)
    check_data(data)
    if out is not None:
        check_evaluation(out, report.captions, overwrite=overwrite)
    announce_torch()
    from learn.inference.evaluate import evaluate
    from learn.reporting.terminal import print_pictures, print_result

    result = evaluate(run, data, out, device, overwrite=overwrite)
    count = f"{len(result.rows)} of {len(result.data)} images of {result.data.path}"
    print_result(f"{run} on {count}", result.metrics, report)
    if out is not None:
        print_pictures(out)
        _say(f"wrote {out}")


@_command("predict")
def predict_command(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a fine-tuning run, or of what was exported of it."
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="FITS, .npy and HDF5 files, data sets, and folders of such files.",
        ),
    ],
    out: Annotated[
        Path | None,
        _option(
            "Table (.csv, .ecsv, .fits; default: predictions.csv); of a superres run a folder of "
            "images (default: predictions).",
            "FILE",
        ),
    ] = None,
    pixel_scale: Annotated[
        float | None, _option("Of files that do not say it, as .npy.", "ARCSEC")
    ] = None,
    exposure_time: Annotated[
        float | None,
        _option(
            "In all, of images that do not say it. Default: the median of the training images.",
            "SECONDS",
        ),
    ] = None,
    hdu: Annotated[
        str | None,
        _option("Extension of FITS files to take; of one file: 'a.fits[NAME]'.", "NAME|NUMBER"),
    ] = None,
    batch_size: Annotated[int | None, _option("Images to predict at a time.", "N")] = None,
    overwrite: Overwrite = False,
    device: Device = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Predict images with a fine-tuned network: a table with a row each, or super-resolved FITS.

    Images on other pixels than the network knows are resampled, those of another size cropped or
    padded about their centres. Broken files are named and left out.

    Example: `python cli.py predict runs/classify/20260102-150000 cutouts/*.fits`
    """
    from learn.checks import announce_torch, check_inputs
    from learn.config import PredictConfig
    from learn.inference.outputs import check_early
    from learn.run_files import read_run_config

    settings = _settings(context, PredictConfig, "predict", "predict", "command")
    read_run_config(run)
    check_inputs(inputs)
    check_early(settings.out, inputs, overwrite=overwrite)
    announce_torch()
    from learn.inference.predict import predict

    bar = partial(show_files, context.call_on_close, what="predict")
    place, count = predict(run, inputs, settings, bar, write_note, overwrite=overwrite)
    _say(f"wrote {place} ({count} {'image' if count == 1 else 'images'})")


@_command("model")
def model_command(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="FITS images, folders with the image, noise map and PSF of a lens, folders of "
            "such folders, and catalogues (.csv).",
        ),
    ],
    noise: Annotated[
        Path | None,
        _option("Noise, variance or weight map, also as 'a.fits[ERR]'.", "FILE"),
    ] = None,
    psf: Annotated[Path | None, _option("PSF, also as 'a.fits[PSF]'.", "FILE")] = None,
    mask: Annotated[
        Path | None, _option("Mask or data quality: pixels other than 0 are bad.", "FILE")
    ] = None,
    pixel_scale: Annotated[
        float | None, _option("Of images that do not state it.", "ARCSEC")
    ] = None,
    hdu: Annotated[
        str | None,
        _option("Extension with the image; of one file: 'a.fits[NAME]'.", "NAME|NUMBER"),
    ] = None,
    field: Annotated[
        float | None, _option("Radius about the middle of the image that is fitted.", "ARCSEC")
    ] = None,
    mass: Annotated[str | None, _one_of("masses", "Mass profile, beside a shear.")] = None,
    lens_light: Annotated[
        str | None, _one_of("lens_lights", "Light of the lens: mge is a sum of Gaussians.")
    ] = None,
    source: Annotated[str | None, _one_of("light_sources", "Light of the source.")] = None,
    out: Annotated[Path | None, _option("Folder to write to. Default: models.", "DIR")] = None,
    overwrite: Annotated[
        bool,
        _flag(
            "--overwrite",
            "Replace files that this program has not made, and models of other settings.",
        ),
    ] = False,
    device: Device = None,
    seed: Seed = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Model lenses: a table of parameters with errors, maps, pictures, and one page of all.

    A catalogue has the columns name,image,noise,psf and perhaps
    mask,pixel_scale,z_lens,z_source,ra,dec; its paths are relative to it. Noise map and PSF may
    also be extensions of the file of the image, or lie beside it: lens_rms.fits, lens_psf.fits.
    Lenses that cannot be modelled are named and left out.

    Run the same command again to go on after an interruption; finished lenses stay.

    Example: `python cli.py model lens.fits --noise rms.fits --psf psf.fits --out models`

    Example: `python cli.py model lenses.csv --source pixels --set source_order=12`
    """
    from learn.checks import announce_torch
    from learn.modelling.lens_files import Given, find_lenses
    from learn.modelling.output_files import check_folder, choose_out
    from learn.modelling.settings import ModelSettings
    from lensphys.ground.devices import choose_device

    settings = _settings(context, ModelSettings, "model", "model", "command")
    choose_device(settings.device)
    lenses = find_lenses(inputs, Given(noise, psf, mask))
    check_folder(choose_out(settings), settings, lenses, overwrite=overwrite)
    announce_torch()
    from learn.modelling.page import PAGE
    from learn.modelling.run import model_lenses
    from learn.modelling.tables import CSV

    bars = partial(show_images, context.call_on_close, what="model", unit="lens")
    outcome = model_lenses(lenses, settings, bars, write_note, overwrite=overwrite)
    for kind, name in (("table", CSV), ("page", PAGE)):
        _say(f"{kind}: {outcome.folder / name}")
    _say(outcome.line)


@_command("export")
def export_command(
    run: Run,
    out: Annotated[Path | None, _option("Folder to write to. Default: RUN/export.", "DIR")] = None,
    onnx: Annotated[bool, _flag("--onnx", "Write model.onnx too.")] = False,
) -> None:
    """Write a fine-tuned network as a folder to give away: weights, configuration, model card.

    Example: `python cli.py export runs/classify/20260102-150000 --out classifier --onnx`
    """
    from learn.checks import announce_torch
    from learn.run_files import read_run_config

    read_run_config(run)
    announce_torch()
    from learn.inference.export import export

    _say(f"wrote {export(run, out, onnx=onnx)}")


@_command("audit")
def audit_command(
    context: typer.Context,
    data: Data,
    out: Annotated[
        Path | None, _option("Folder to write to. Default: that of the data set.", "DIR")
    ] = None,
    overwrite: Overwrite = False,
    seed: Seed = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Check that a data set is honest: no shortcut to its classes, and a signal to be found.

    The first check needs lenses without substructure (no_sub or no) and others, the second a data
    set of the preset physical. Exit code: 0 if no check failed, 1 if one did, 2 for bad input;
    audit.json is written in the first two cases.

    Example: `python cli.py audit data/model2-physical`
    """
    from learn.audit_files import FINDINGS, PICTURE, check_audit
    from learn.checks import announce_torch, check_data
    from learn.config import AuditConfig

    settings = _settings(context, AuditConfig, "audit", "audit", "command")
    check_data(data)
    folder = settings.out or data
    check_audit(folder, overwrite=overwrite)
    announce_torch()
    from learn.audit import audit, failures
    from learn.reporting.terminal import print_audit

    result = audit(data, settings, overwrite=overwrite)
    print_audit(result)
    if result["twin_skipped"]:
        _say(f"no check of the signal: {result['twin_skipped']}")
    else:
        _say(f"picture: {folder / PICTURE}")
    _say(f"wrote {folder / FINDINGS}")
    for line in failures(result):
        _say(f"failed: {line}", err=True)
    if failures(result):
        raise typer.Exit(1)


@_command("demo")
def demo_command(
    context: typer.Context,
    out: Annotated[Path, _option("Folder to write to.", "DIR")] = Path("demo"),
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Run the main job in minutes: simulate, pretrain, fine-tune, and a table at the end.

    Example: `python cli.py demo`
    """
    from learn.demo import DemoConfig, demo

    settings = _settings(context, DemoConfig, "demo", "demo", "command")
    demo(settings, out, _bars(context))


@_command("compare")
def compare_command(
    context: typer.Context,
    tier: Annotated[
        str,
        _option("How much: smoke takes minutes, small hours on 2 cores, full a GPU.", "{tiers:|}"),
    ],
    out: Annotated[Path, _option("Folder that holds one for each tier.", "DIR")] = Path("results"),
    only: Annotated[Any, _several("These rows alone: mae,radial,mae:no-sub.")] = None,
    presets: Annotated[Any, _several("Data of these alone: {presets:,}.")] = None,
    seeds: Annotated[
        str | None, _option("These seeds alone, also others than the tier's.", "N,N")
    ] = None,
    models: Annotated[
        str | None, _option("Measure on these DeepLense Models alone: 1,3.", "N,N")
    ] = None,
    limit_hours: Annotated[
        float | None,
        _option("Begin no cell after so many hours; 0: table and figures alone.", "HOURS", min=0),
    ] = None,
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

    settings = _settings(
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
    check_pages(out / tier)
    announce_torch()
    from learn.compare.run_tier import compare

    outcome = compare(tier, settings, out, wanted, _bars(context), write_note)
    for kind, name in (("table", TABLE), ("picture", LABEL_EFFICIENCY), ("picture", SENSITIVITY)):
        if (outcome.folder / name).is_file():
            _say(f"{kind}: {outcome.folder / name}")
    _say(outcome.line)


@_command("report")
def report_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of a run or of a comparison, or one that holds several."
        ),
    ],
    out: Annotated[Path | None, _option("Page to write. Default: DIR/report.html.", "FILE")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make one HTML page of a run or a comparison: tables, pictures and configuration.

    The page needs no other file and no network: open it in a browser, or send it to someone.

    Example: `python cli.py report results/small`
    """
    from learn.reporting.report import report

    _say(f"wrote {report(folder, out, overwrite=overwrite)}")


def _settings(
    context: typer.Context,
    schema: type[ConfigT],
    command: str,
    name: str,
    kind: str,
    without: Iterable[str] = (),
) -> ConfigT:
    """The shipped configuration, or another in its place, with the keys that options fill.

    Args:
        context: holds the options.
        schema: of the configuration.
        command, name, kind: which is shipped; see :func:`lensphys.ground.config.shipped_config`.
        without: options that only look as if they filled a key.
    """
    from lensphys.ground.config import load_config, shipped_config

    default = shipped_config(command, name, kind)  # refuses unknown names whatever is in its place
    options = context.params
    keys = options.keys() & schema.model_fields.keys() - {*without, "config", "sets"}
    filled = {key: options[key] for key in keys}
    return load_config(schema, options["config"] or default, options["sets"] or (), **filled)


def _bars(context: typer.Context, what: str = "simulate") -> Callable[[int, int], Progress]:
    """Start a bar over images in all and those already there, closed with the command."""
    return partial(show_images, context.call_on_close, what=what)


def _say(line: str, err: bool = False) -> None:
    """Print a line, which may hold names of other people's data."""
    typer.echo(plain_text(line), err=err)


def _print_written(folder: Path, made: bool) -> None:
    _say(f"{'wrote' if made else 'already complete:'} {folder}")


def _print_data_set(folder: Path, made: bool) -> None:
    _print_written(folder, made)
    _say(f"picture: {folder / 'preview.png'}")


class _Notes(logging.Handler):
    """Shows what takes long, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        write_note(record.getMessage())


def _fail(message: str, code: int) -> None:
    """Print one line to standard error and exit."""
    _say(" ".join(line.strip() for line in message.splitlines()), err=True)
    sys.exit(code)


def _explain(error: Exception) -> str | None:
    """The line on an error that a user can put right; None for any other."""
    from lensphys.ground.errors import InputError
    from lensphys.ground.files import advise_on_disk

    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        advice = advise_on_disk(error.errno)
        return (
            f"{error}; {advice} and run the same command again to go on" if advice else str(error)
        )
    # Torch has errors of its own for memory: of a GPU a class, else a message.
    if isinstance(error, MemoryError) or re.search(r"out of memory|t allocate memory", str(error)):
        return "there is not enough memory; take smaller batches, fewer images or a smaller network"
    return None


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of the user end in one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # its encoding may lack letters of a name
            stream.reconfigure(errors="backslashreplace")
    for package in ("lensphys", "simulate", "learn"):
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        if not any(isinstance(handler, _Notes) for handler in logger.handlers):
            logger.addHandler(_Notes())
    arguments = sys.argv[1:] if arguments is None else arguments
    run: Callable[..., Any] = app
    try:
        code = run(arguments or ["--help"], prog_name=program(), standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else program()
        _fail(f"error: {error.format_message()} (see `{command} --help`)", error.exit_code)
    except Exception as error:
        if "--debug" in arguments or not (line := _explain(error)):
            raise
        _fail(f"error: {line}", 2)
    if code == _INTERRUPTED:
        _fail("interrupted; run the same command again to go on where it stopped", code)
    sys.exit(code)


if __name__ == "__main__":
    main()
