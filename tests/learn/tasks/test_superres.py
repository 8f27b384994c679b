"""Super-resolution: flux, factors, backbones, and metrics against the truth."""

import dataclasses
import functools
import json
import shlex
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from torch.nn import functional as F

import cli
from learn.config import FinetuneConfig
from learn.data import Batch
from learn.data_description import describe
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.export import export, write_onnx
from learn.inference.model import load_model
from learn.lens_fits.lens_fits import LensFits
from learn.networks.encoder_files import load_encoder
from learn.networks.rcan import Rcan
from learn.tasks.superres import (
    SuperResolve,
    bicubic,
    find_gain,
    flux_gain,
    render_detail,
    superres_metrics,
)
from learn.views.symmetries import turn_fits
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.augment.transforms import turn_images
from simulate.dataset.noise_free import render_noise_free
from simulate.dataset.photometry import Photometry
from simulate.observe import noise_sigma
from simulate.shards import DataSet
from tests.learn.conftest import LENS_FIT, QUICK_FIT, simulated

TINY_RCAN = "params.rcan={width: 8, groups: 2, blocks: 1, reduction: 4}"


SMALL = ("params.width=8", "params.blocks=1", TINY_RCAN, "optimizer.epochs=1")


@pytest.fixture
def rcan(pairs: Path, tmp_path: Path, finetune_config: Any) -> Path:
    config = finetune_config("superres", SMALL, data=pairs, backbone="rcan", out=tmp_path / "rcan")
    return finetune(config)[0]


def metrics_of(run: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return metrics


def test_super_resolution_beside_bicubic(pairs: Path, tmp_path: Path, finetune_config: Any) -> None:
    config = finetune_config("superres", data=pairs, out=tmp_path / "run")
    folder, _ = finetune(config)
    metrics = json.loads((folder / "metrics.json").read_text())
    measures = ("mse", "psnr", "ssim", "class_psnr")
    names = {f"{kind}{name}" for kind in ("", "clean_") for name in measures}
    names |= {f"bicubic_{name}" for name in names}
    about = {"flagged", "unflagged", "test_images", "intervals"}
    assert names == set(metrics) - about
    low, high = metrics["intervals"]["psnr"]
    assert low < metrics["psnr"] < high
    with h5py.File(folder / "predictions.h5") as file:
        assert file["prediction"].shape[1:] == (1, 64, 64)
    assert (folder / "triptych.png").is_file()


def test_an_untrained_super_resolution_is_bicubic(pairs: Path, untrained_task: Any) -> None:
    module, data = untrained_task("superres", pairs)
    low = torch.from_numpy(data.image_lr)
    batch = Batch(torch.from_numpy(data.image), torch.from_numpy(data.label), low)
    predicted = module.predict_batch(batch)
    torch.testing.assert_close(predicted, bicubic(low, 2) / 4, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["vit", "rcan"])
@pytest.mark.parametrize("factor", [2, 4])
def test_the_total_flux_of_an_image_is_kept_whatever_the_weights(
    pairs: Path, noisy: Path, untrained_task: Any, backbone: str, factor: int
) -> None:
    folder = pairs if factor == 2 else noisy
    module, data = untrained_task("superres", folder, *SMALL, backbone=backbone)
    torch.nn.init.normal_(module.last.weight)
    torch.nn.init.normal_(module.last.bias)
    low = torch.from_numpy(data.image_lr)
    low = torch.cat([low, low.max() * torch.randn_like(low)])
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        images = low.to(dtype)
        high = module.to(dtype).predict_batch(Batch(images, torch.zeros(len(low)), images))
        assert high.shape[-1] == factor * low.shape[-1]
        change = (high - bicubic(images, factor) / factor**2).abs().mean()
        assert change > 0.01 * high.abs().mean(), "the network does something"
        lost = (high.double().sum((1, 2, 3)) - images.double().sum((1, 2, 3))).abs()
        assert (lost <= tolerance * high.double().abs().sum((1, 2, 3))).all()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_keeps_the_mean_and_is_the_usual_one_inside(factor: int) -> None:
    image = torch.randn(3, 1, 9, 12, dtype=torch.float64)
    fine = bicubic(image, factor)
    torch.testing.assert_close(fine.mean((1, 2, 3)), image.mean((1, 2, 3)), rtol=0, atol=1e-15)
    usual = F.interpolate(image, scale_factor=factor, mode="bicubic")
    inside = (..., slice(2 * factor, -2 * factor), slice(2 * factor, -2 * factor))
    torch.testing.assert_close(fine[inside], usual[inside], rtol=0, atol=1e-12)


def test_both_telescopes_collect_the_same_light(pairs: Path) -> None:
    """Model 2 as published has no noise: the total that the network keeps is the true one."""
    data = shards.read(pairs)
    assert data.image_lr is not None
    high, low = (x.sum((1, 2, 3), dtype=np.float64) for x in (data.image, data.image_lr))
    np.testing.assert_allclose(high, low, rtol=1e-6)


def test_clipped_noise_does_not_count_as_light() -> None:
    rng = np.random.default_rng(0)
    light = np.zeros((1, 1, 16, 16), np.float32)
    light[..., 4:12, 4:12] = 1.0
    high = (light.repeat(2, 2).repeat(2, 3) / 4 + rng.normal(0, 0.3, (20, 1, 32, 32))).clip(0)
    low = (light + rng.normal(0, 0.6, (20, 1, 16, 16))).clip(0)
    assert high.mean() / low.mean() > 0.3, "what was measured"
    assert flux_gain(high, low) == 0.25
    assert flux_gain(4 * high, low) == 1.0, "surface brightness"


@pytest.mark.parametrize(
    ("unit", "gain"),
    [("MJy/sr", 1.0), ("e-/s/arcsec^2", 1.0), ("e-/s", 0.25), ("unknown", 1.0), (None, 1.0)],
)
def test_the_unit_decides_what_fine_pixels_hold(unit: str | None, gain: float) -> None:
    rng = np.random.default_rng(0)
    high = rng.random((4, 1, 8, 8), np.float32) + 1
    low = high.reshape(4, 1, 4, 2, 4, 2).mean((3, 5))
    assert find_gain(high, low, unit) == gain
    assert find_gain(high - high.mean(), low - low.mean(), "e-/s") == 0.25, "of no flux in all"


def test_the_two_networks_have_as_many_parameters(pairs: Path) -> None:
    path, data, counts = shipped_config("finetune", "superres", "task"), shards.read(pairs), []
    for backbone in ("vit", "rcan"):
        config = load_config(FinetuneConfig, path, (), backbone=backbone, encoder="none")
        task = SuperResolve(config, SuperResolve.make_backbone(config, 32), describe(data))
        counts.append(sum(p.numel() for p in task.parameters()))
    assert counts[1] == pytest.approx(counts[0], rel=0.1)


def test_an_rcan_is_a_run_like_any_other(rcan: Path, pairs: Path, tmp_path: Path) -> None:
    assert evaluate(rcan).metrics == metrics_of(rcan)
    low = shards.read(pairs).image_lr
    assert low is not None
    model = load_model(rcan)
    folder = export(rcan, tmp_path / "out")
    assert torch.equal(load_model(folder)(low[:3]), model(low[:3]))
    assert "backbone rcan" in (folder / "README.md").read_text()
    np.save(tmp_path / "x.npy", low[0, 0])
    line = f"predict {rcan} {tmp_path / 'x.npy'} --pixel-scale 0.202 --out {tmp_path / 'p'}"
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(line))
    assert not stop.value.code
    found = fits.getdata(tmp_path / "p" / "x_x2.fits")
    np.testing.assert_allclose(found, model(low[:1])[0, 0], atol=1e-6)


def test_an_rcan_in_onnx(rcan: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = load_model(rcan)
    write_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = 30 * model.task.stretch.softening * torch.randn(3, 1, 32, 32)
    (found,) = session.run(None, {"images": images.numpy()})
    expected = model(images).numpy()
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_trained_rcan_serves_another_factor(
    rcan: Path, noisy: Path, tmp_path: Path, finetune_config: Any
) -> None:
    sets = (*SMALL, "allow_other_preset=true")
    config = finetune_config("superres", sets, data=noisy, encoder=str(rcan), out=tmp_path / "run")
    assert isinstance(load_encoder(finetune(config)[0]), Rcan)


def test_images_of_models_2_and_3_go_from_16_to_64_pixels(
    noisy: Path, tmp_path: Path, finetune_config: Any
) -> None:
    model2 = simulated(tmp_path / "model2", 2, 48, pairs=4)
    for model, data in ((2, model2), (3, noisy)):
        out = tmp_path / f"run{model}"
        run, _ = finetune(finetune_config("superres", SMALL, data=data, out=out))
        with h5py.File(run / "predictions.h5") as file:
            assert file["prediction"].shape[1:] == (1, 64, 64)
            low = shards.read(data).image_lr
            assert low is not None
            light = low[file["index"][()]].sum((1, 2, 3))
            np.testing.assert_allclose(file["prediction"][()].sum((1, 2, 3)), light, rtol=1e-4)
        assert evaluate(run).metrics == metrics_of(run)


def test_metrics_are_also_of_the_truth_behind_the_noise(
    noisy: Path, pairs: Path, untrained_task: Any
) -> None:
    measures = ("mse", "psnr", "ssim", "class_psnr")
    names = {f"{kind}{name}" for kind in ("", "clean_") for name in measures}
    rows = np.arange(0, 48, 5)
    for folder in (noisy, pairs):
        module, data = untrained_task("superres", folder, *SMALL)
        images = torch.from_numpy(data.image[rows])
        metrics = module.measure(images, data, rows)
        assert set(metrics) == names | {f"bicubic_{name}" for name in names}
        assert metrics["mse"] == 0
        by_class, label = metrics["bicubic_class_psnr"], data.label[rows]
        parts = [by_class[name] * (label == i).sum() for i, name in enumerate(data.label_names)]
        assert sum(parts) / len(rows) == pytest.approx(metrics["bicubic_psnr"])
        if folder == pairs:
            assert metrics["bicubic_clean_psnr"] == pytest.approx(metrics["bicubic_psnr"])
            continue
        truth = render_noise_free(data, rows)[:, 0]
        exposures = data.params["exposure_time"][rows]
        sigma = noise_sigma(truth, data.attrs["background_sigma"], exposures)
        noise = (sigma / module.scale.item()) ** 2
        assert metrics["clean_mse"] == pytest.approx(noise.mean(), rel=0.05)
        assert metrics["bicubic_clean_psnr"] > metrics["bicubic_psnr"]
        unknown = dataclasses.replace(data, config={"preset": "imported"})
        assert not [key for key in module.measure(images, unknown, rows) if "clean" in key]


def test_backbones_without_maps_are_refused(pairs: Path, finetune_config: Any) -> None:
    with pytest.raises(InputError, match="--backbone vit or rcan, not resnet18"):
        finetune(finetune_config("superres", data=pairs, backbone="resnet18"))
    with pytest.raises(InputError, match="for --task superres alone"):
        finetune(finetune_config("classify", data=pairs, backbone="rcan"))
    with pytest.raises(InputError, match="add --encoder none"):
        finetune(finetune_config("superres", data=pairs, backbone="rcan", encoder="x"))


def test_super_resolution_metrics_of_a_known_case() -> None:
    truth = np.random.default_rng(0).random((2, 1, 16, 16)).astype(np.float32)
    metrics = superres_metrics(truth + np.float32(0.1), truth)
    assert metrics["mse"] == pytest.approx(0.01, rel=1e-4)
    assert metrics["psnr"] == pytest.approx(20, rel=1e-4)
    assert superres_metrics(truth, truth)["ssim"] == pytest.approx(1)


def test_super_resolution_sees_every_pixel(
    pairs: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config("superres", ("params.binning=2",), data=pairs, out=tmp_path / "run")
    with pytest.raises(InputError, match="binning"):
        finetune(config)


def in_single_precision(fits: LensFits) -> LensFits:
    return fits.map(lambda values: values.float() if values.is_floating_point() else values)


@pytest.fixture(scope="module")
def smooth_pairs(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Lenses without noise or substructure, at 64 and 32 pixels."""
    folder = tmp_path_factory.mktemp("smooth") / "data"
    return shards.read(simulated(folder, 2, 24, classes=("no_sub",), pairs=2))


def test_a_smooth_lens_is_known_at_high_resolution(
    smooth_pairs: DataSet, untrained_task: Any
) -> None:
    """The untrained network draws it, in the unit of the images and with the right PSF."""
    module, data = untrained_task("superres", smooth_pairs, LENS_FIT)
    memory = module.load(data, "cpu")
    assert memory.fits is not None
    known = memory.fits.converged
    assert known.float().mean() > 0.7
    with torch.no_grad():
        found = module.predict_batch(memory[torch.arange(len(data))])
    truth, low = torch.from_numpy(data.image), torch.from_numpy(data.image_lr)
    plain = (bicubic(low, 2) / 4 - truth)[known].abs().mean()
    assert (found - truth)[known].abs().mean() < 0.05 * plain
    rows = np.flatnonzero(known)
    metrics = module.measure(found[known], data, rows, memory.fits.rows(known))
    assert metrics["fit_psnr"] > module.measure(found, data, np.arange(24))["bicubic_psnr"] + 20
    torch.testing.assert_close(found[~known], bicubic(low, 2)[~known] / 4, rtol=1e-4, atol=1e-5)


def test_the_detail_of_a_fit_is_in_the_unit_of_the_image(
    smooth_pairs: DataSet, random_fits: Any
) -> None:
    fits = in_single_precision(random_fits(4))
    fits.converged[2] = False
    low, high = (
        Photometry.of(smooth_pairs, column).select(slice(0, 4)) for column in ("image_lr", "image")
    )
    counts = [dataclasses.replace(p, rate=p.rate / [1, 2, 3, 4]) for p in (low, high)]
    detail = render_detail(fits, (32, 32), low, high, 2)
    assert detail.shape == (4, 1, 64, 64)
    assert (detail.flatten(1).abs().amax(1) > 0).tolist() == [True, True, False, True]
    times = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None, None]
    torch.testing.assert_close(render_detail(fits, (32, 32), *counts, 2), times * detail)


def test_detail_turns_with_its_image(smooth_pairs: DataSet, random_fits: Any) -> None:
    fits, symmetry = in_single_precision(random_fits(8)), torch.arange(8)
    low, high = (
        Photometry.of(smooth_pairs, column).select(slice(0, 8)) for column in ("image_lr", "image")
    )
    draw = functools.partial(render_detail, shape=(32, 32), low=low, high=high, factor=2)
    expected = turn_images(draw(fits), symmetry)
    found = draw(turn_fits(fits, symmetry))
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_flux_is_kept_whatever_the_lens(smooth_pairs: DataSet, untrained_task: Any) -> None:
    module, data = untrained_task("superres", smooth_pairs, LENS_FIT)
    torch.nn.init.normal_(module.last.weight)
    batch = module.load(data, "cpu")[torch.arange(24)]
    assert batch.fits is not None
    assert batch.fits.detail is not None
    detail = batch.fits.detail + batch.fits.detail.abs().max()
    batch = batch._replace(fits=dataclasses.replace(batch.fits, detail=detail))
    with torch.no_grad():
        high = module.predict_batch(batch).double()
    low = torch.from_numpy(data.image_lr).double()
    lost = (high.sum((1, 2, 3)) - low.sum((1, 2, 3))).abs()
    assert (lost < 4e-6 * high.abs().sum((1, 2, 3))).all()


def test_pairs_without_a_psf_are_refused_by_name(look_alikes: Path, untrained_task: Any) -> None:
    module, data = untrained_task("superres", look_alikes, QUICK_FIT)
    attrs = {key: value for key, value in data.attrs.items() if key != "psf_fwhm"}
    with pytest.raises(InputError, match="does not say its psf_fwhm"):
        module.load(dataclasses.replace(data, attrs=attrs), "cpu")
