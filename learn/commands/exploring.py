"""The command that opens the page of sliders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learn.commands.options import Config, Seed, Sets, make_settings, option, say

# Heavy imports wait inside the command, so that --help and refusals answer at once.


def explore_command(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[LENS.fits | DATASET]",
            help="An image of a lens, or a catalogue, as `model` reads them, or a data set. "
            "Default: none.",
        ),
    ] = None,
    index: Annotated[
        int | None,
        option("Number of the image of a data set, or of the lens of a catalogue, from 0.", "N"),
    ] = None,
    size: Annotated[
        int | None, option("Pixels on a side, of a lens without an image.", "N")
    ] = None,
    pixel_scale: Annotated[
        float | None,
        option("Of a pixel; needed where the file does not state it.", "ARCSEC"),
    ] = None,
    hdu: Annotated[str | None, option("Extension with the image.", "NAME|NUMBER")] = None,
    port: Annotated[int | None, option("On this machine. Default: any that is free.", "N")] = None,
    seed: Seed = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Move the parameters of a lens by sliders: image, caustics, residual and S/N map follow.

    A page opens in the browser, served by this machine for itself alone: nothing leaves it, and
    nothing is loaded from elsewhere. An image of yours lies beside the model; `fit` starts from the
    sliders, and `copy as Python` gives the program. Ctrl-C ends it.

    Example: `python cli.py explore`

    Example: `python cli.py explore lens.fits`
    """
    from learn.explore.settings import ExploreSettings, check_options

    settings = make_settings(context, ExploreSettings, "explore", "explore", "command")
    options = {
        "size": size,
        "seed": seed,
        "pixel_scale": pixel_scale,
        "hdu": hdu,
        "index": index,
        "port": port,
    }
    given = {key: value for key, value in options.items() if value is not None}
    set_here = (text.partition("=")[::2] for text in sets or ())
    check_options(source, given | {key.strip(): value for key, value in set_here})
    from learn.checks import announce_torch

    announce_torch()
    import torch

    from learn.explore.observation import observe
    from learn.explore.serve import run_server
    from learn.explore.view import Explorer

    torch.set_num_threads(1)  # for maps this small, threads wait for one another on a busy machine
    run_server(Explorer(observe(source, settings), settings), settings, say)
