"""Commands that use what was trained: evaluate, predict, embed, export and report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from learn.commands.options import (
    Config,
    Device,
    Overwrite,
    Run,
    Sets,
    flag,
    make_settings,
    one_of,
    option,
    say,
)
from lensphys.ground.progress import show_files, write_note

PixelScale = Annotated[float | None, option("Of files that do not say it, as .npy.", "ARCSEC")]
ExposureTime = Annotated[
    float | None,
    option(
        "In all, of images that do not say it. Default: the median of the training images.",
        "SECONDS",
    ),
]
Extension = Annotated[
    str | None,
    option("Extension of FITS files to take; of one file: 'a.fits[NAME]'.", "NAME|NUMBER"),
]

# Heavy imports wait inside the commands, so that --help and refusals answer at once.


def evaluate_command(
    run: Run,
    data: Annotated[
        Path | None,
        option("Test on all images of another data set. Default: the run's test images.", "DIR"),
    ] = None,
    out: Annotated[
        Path | None,
        option("Folder for metrics, predictions and figures. Default: nothing is written.", "DIR"),
    ] = None,
    device: Annotated[
        str, one_of("devices", "Where to compute. The run's own test is on cpu.")
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
        say(f"wrote {out}")


def predict_command(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="{runs:|}",
            help="Folder of a fine-tuning run, or of what was exported of it{or_default}.",
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
        option(
            "Table (.csv, .ecsv, .fits; default: predictions.csv); of a superres run a folder of "
            "images (default: predictions).",
            "FILE",
        ),
    ] = None,
    task: Annotated[
        str | None,
        option("{choice_of_default}", "NAME"),
    ] = None,
    pixel_scale: PixelScale = None,
    exposure_time: ExposureTime = None,
    hdu: Extension = None,
    own_optics: Annotated[
        bool,
        flag(
            "--own-optics",
            "Fit each lens with the noise map and PSF beside or in its file, as model does.",
        ),
    ] = False,
    batch_size: Annotated[int | None, option("Images to predict at a time.", "N")] = None,
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
    from learn.weights.shipped import find_run

    settings = make_settings(context, PredictConfig, "predict", "predict", "command")
    folder = find_run(run, task)
    read_run_config(folder)
    check_inputs(inputs)
    check_early(settings.out, inputs, overwrite=overwrite)
    announce_torch()
    from learn.inference.predict import predict

    bar = partial(show_files, context.call_on_close, what="predict")
    place, count = predict(
        folder,
        inputs,
        settings,
        bar,
        write_note,
        overwrite=overwrite,
        own_optics=own_optics,
    )
    say(f"wrote {place} ({count} {'image' if count == 1 else 'images'})")


def embed_command(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="{runs:|}",
            help="Folder of a pretraining or fine-tuning run{or_default}.",
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA",
            help="A data set; or FITS, .npy and HDF5 files, and folders of such files.",
        ),
    ],
    out: Annotated[
        Path | None,
        option("Table: .h5, .parquet or .csv. Default: features.h5.", "FILE"),
    ] = None,
    pixel_scale: PixelScale = None,
    exposure_time: ExposureTime = None,
    hdu: Extension = None,
    batch_size: Annotated[int | None, option("Images of files to embed at a time.", "N")] = None,
    overwrite: Overwrite = False,
    device: Device = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Write the features of images by an encoder: a table with a row each.

    The images of a data set are taken as they are, and their labels beside them. Those in files are
    brought to the pixels of the training, as for predict.

    Example: `python cli.py embed runs/mae/20260101-120000 data/model3 --out features.h5`
    """
    from learn.checks import announce_torch, check_data, check_encoder, check_inputs
    from learn.config import EmbedConfig
    from learn.inference.feature_files import choose_table, find_data_set

    settings = make_settings(context, EmbedConfig, "embed", "embed", "command")
    check_encoder(run)
    check_inputs(inputs, "embed")
    check_data(find_data_set(inputs))
    choose_table(settings.out, inputs, overwrite=overwrite)
    announce_torch()
    from learn.inference.embed import embed

    bar = partial(show_files, context.call_on_close, what="embed")
    place, count = embed(run, inputs, settings, bar, write_note, overwrite=overwrite)
    say(f"wrote {place} ({count} {'image' if count == 1 else 'images'})")


def export_command(
    run: Run,
    out: Annotated[Path | None, option("Folder to write to. Default: RUN/export.", "DIR")] = None,
    onnx: Annotated[bool, flag("--onnx", "Write model.onnx too.")] = False,
) -> None:
    """Write a fine-tuned network as a folder to give away: weights, configuration, model card.

    Example: `python cli.py export runs/classify/20260102-150000 --out classifier --onnx`
    """
    from learn.checks import announce_torch
    from learn.run_files import read_run_config

    read_run_config(run)
    announce_torch()
    from learn.inference.export import export

    say(f"wrote {export(run, out, onnx=onnx)}")


def report_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of a run or of a comparison, or one that holds several."
        ),
    ],
    out: Annotated[Path | None, option("Page to write. Default: DIR/report.html.", "FILE")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make one HTML page of a run or a comparison: tables, pictures and configuration.

    The page needs no other file and no network: open it in a browser, or send it to someone.

    Example: `python cli.py report results/small`
    """
    from learn.reporting.report import report

    say(f"wrote {report(folder, out, overwrite=overwrite)}")
