"""The command that models real lenses."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from learn.commands.options import (
    Config,
    Device,
    Seed,
    Sets,
    flag,
    make_settings,
    one_of,
    option,
    say,
)
from lensphys.ground.progress import show_images, write_note

# Heavy imports wait inside the commands, so that --help and refusals answer at once.


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
        option("Noise, variance or weight map, also as 'a.fits[ERR]'.", "FILE"),
    ] = None,
    psf: Annotated[Path | None, option("PSF, also as 'a.fits[PSF]'.", "FILE")] = None,
    mask: Annotated[
        Path | None, option("Mask or data quality: pixels other than 0 are bad.", "FILE")
    ] = None,
    pixel_scale: Annotated[
        float | None, option("Of images that do not state it.", "ARCSEC")
    ] = None,
    hdu: Annotated[
        str | None,
        option("Extension with the image; of one file: 'a.fits[NAME]'.", "NAME|NUMBER"),
    ] = None,
    field: Annotated[
        float | None, option("Radius about the middle of the image that is fitted.", "ARCSEC")
    ] = None,
    mass: Annotated[str | None, one_of("masses", "Mass profile, beside a shear.")] = None,
    lens_light: Annotated[
        str | None,
        one_of(
            "lens_lights",
            "Light of the lens: mge is a sum of Gaussians, 2xsersic two Sersic profiles.",
        ),
    ] = None,
    source: Annotated[
        str | None, one_of("light_sources", "Light of the source: 2xsersic is two Sersics.")
    ] = None,
    out: Annotated[Path | None, option("Folder to write to. Default: models.", "DIR")] = None,
    overwrite: Annotated[
        bool,
        flag(
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
    from learn.modelling.output.output_files import check_folder, choose_out
    from learn.modelling.reading.lens_files import Given, find_lenses
    from learn.modelling.settings import ModelSettings
    from lensphys.ground.devices import choose_device

    settings = make_settings(context, ModelSettings, "model", "model", "command")
    choose_device(settings.device)
    lenses = find_lenses(inputs, Given(noise, psf, mask))
    check_folder(choose_out(settings), settings, lenses, overwrite=overwrite)
    announce_torch()
    from learn.modelling.output.page import PAGE
    from learn.modelling.run import model_lenses
    from learn.modelling.tables.tables import CSV

    bars = partial(show_images, context.call_on_close, what="model", unit="lens")
    outcome = model_lenses(lenses, settings, bars, write_note, overwrite=overwrite)
    for kind, name in (("table", CSV), ("page", PAGE)):
        say(f"{kind}: {outcome.folder / name}")
    say(outcome.line)
