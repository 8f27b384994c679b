"""Commands on data sets: simulate, import, inspect and audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from learn.commands.options import (
    Config,
    Data,
    Device,
    Out,
    Overwrite,
    Seed,
    Sets,
    flag,
    make_settings,
    one_of,
    option,
    print_data_set,
    say,
    several,
    show_bars,
)
from lensphys.ground.progress import write_note

# Heavy imports wait inside the commands, so that --help and refusals answer at once.


def simulate_command(
    context: typer.Context,
    model: Annotated[int, option("DeepLense Model, which means instrument.", "{models:|}")],
    n: Annotated[int | None, option("Number of images.", "N")] = None,
    preset: Annotated[
        str,
        option(
            "As in the DeepLense data sets, quirks included, or as physics has it.", "{presets:|}"
        ),
    ] = "published",
    backend: Annotated[
        str | None, one_of("backends", "Who renders: torch is the faster one.")
    ] = None,
    classes: Annotated[
        Any, several("Of {classes:,}. Default: the three of the DeepLense data sets.")
    ] = None,
    pairs: Annotated[
        int | None, option("Also render on pixels so many times as wide, as 2.", "FACTOR")
    ] = None,
    non_lens: Annotated[
        float | None, option("So many of the images show look-alikes: 0.3.", "FRACTION")
    ] = None,
    lens_light: Annotated[bool, flag("--lens-light", "Lens galaxies shine too.")] = (False),
    sources: Annotated[
        Path | None,
        option("Real galaxies as sources: Galaxy10 HDF5, FITS, or a folder of FITS.", "FILE"),
    ] = None,
    workers: Annotated[
        int | None, option("Processes. Default: one for each CPU core.", "N")
    ] = None,
    scheduler: Annotated[
        str | None, option("Of Dask workers to use: tcp://host:8786.", "ADDRESS")
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
    print_data_set(*simulate(settings, show_bars(context)))


def import_command(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of images, a CSV file of their paths, or one .npy or FITS file.",
        ),
    ],
    out: Annotated[
        Path | None, option("Folder to write to. Default: data/imported/SOURCE.", "DIR")
    ] = None,
    model: Annotated[
        int | None, option("The images are those of this DeepLense Model.", "{models:|}")
    ] = None,
    instrument: Annotated[
        str | None,
        option("Note the PSF and noise of this one: euclid_vis, hst_acs_f814w, ...", "NAME"),
    ] = None,
    pixel_scale: Annotated[
        float | None,
        option("Width of a pixel. Default: of the FITS header, model or instrument.", "ARCSEC"),
    ] = None,
    exposure_time: Annotated[
        float | None,
        option("In all, of every image. Default: EXPTIME in the FITS header.", "SECONDS"),
    ] = None,
    size: Annotated[
        int | None, option("Crop or pad to so many pixels on a side about the centre.", "N")
    ] = None,
    unit: Annotated[
        str | None,
        option(
            "Of the fluxes: 'e-/s', counts, or any other. Default: BUNIT in the FITS header.",
            "NAME",
        ),
    ] = None,
    label_names: Annotated[
        Any, several("Import these class folders alone, in the order of their labels.")
    ] = None,
    hdu: Annotated[
        str | None,
        option("Extension of FITS files to take. Default: SCI, or the first image.", "NAME|NUMBER"),
    ] = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Bring published images into the form of a data set: .npy folders and FITS cutouts.

    Folders: no_sub/ cdm/ axion/ (DeepLenseSim), no/ sphere/ vort/ (DeepLense tests), HR/ LR/
    (pairs), each also below train/ val/ test/; .npy or FITS files, or folders of FITS files. Noise
    maps, PSFs and masks beside images are left out. A CSV file lists paths (file_loc, file, path),
    and perhaps label and split. Nothing in a file is executed.

    Run the same command again to go on after an interruption.

    Example: `python cli.py import Model_II --model 2 --out data/deeplense2`

    Example: `python cli.py import cutouts --label-names lenses,others --instrument euclid_vis`
    """
    from simulate.importers.config import ImportConfig

    settings = make_settings(context, ImportConfig, "import", "import", "command")
    from simulate.importers.run import import_images

    progress = show_bars(context, "import")
    print_data_set(*import_images(source, settings, progress, write_note))


def inspect_command(
    context: typer.Context,
    folder: Data,
    verify: Annotated[bool, flag("--verify", "Read every shard and compare its checksum.")] = False,
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
        damaged = list(damages(summary, show_bars(context, "verify")(summary.total, 0)))
        if not damaged:
            say(f"all {len(summary.manifest['shards'])} shards are intact")
    for line in damaged:
        say(f"error: {line}", err=True)
    if damaged:
        raise typer.Exit(2)


def audit_command(
    context: typer.Context,
    data: Data,
    out: Annotated[
        Path | None, option("Folder to write to. Default: that of the data set.", "DIR")
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

    settings = make_settings(context, AuditConfig, "audit", "audit", "command")
    check_data(data)
    folder = settings.out or data
    check_audit(folder, overwrite=overwrite)
    announce_torch()
    from learn.audit import audit, failures
    from learn.reporting.terminal import print_audit

    result = audit(data, settings, overwrite=overwrite)
    print_audit(result)
    if result["twin_skipped"]:
        say(f"no check of the signal: {result['twin_skipped']}")
    else:
        say(f"picture: {folder / PICTURE}")
    say(f"wrote {folder / FINDINGS}")
    for line in failures(result):
        say(f"failed: {line}", err=True)
    if failures(result):
        raise typer.Exit(1)
