"""Super-resolution: flux, factors, backbones, and metrics against the truth."""

import dataclasses
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
from learn.data import Batch, Stretch
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.export import export, write_onnx
from learn.inference.model import load_model
from learn.networks.encoder import load_encoder
from learn.networks.rcan import Rcan, RcanConfig
from learn.tasks.superres import SuperResolve, bicubic, flux_gain
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.dataset.noise_free import noise_free_images
from simulate.observe import noise_sigma
from simulate.presets import load_simulate_config
from simulate.run import simulate

TINY_RCAN = "params.rcan={width: 8, groups: 2, blocks: 1, reduction: 4}"
SMALL = ("params.width=8", "params.blocks=1", TINY_RCAN, "optimizer.epochs=1")


@pytest.fixture
def rcan(pairs: Path, tmp_path: Path, finetune_config: Any) -> Path:
    config = finetune_config("superres", SMALL, data=pairs, backbone="rcan", out=tmp_path / "rcan")
    return finetune(config)[0]


def fresh(config: Any, data: shards.DataSet) -> SuperResolve:
    low = torch.from_numpy(SuperResolve.inputs(data))
    backbone = SuperResolve.fresh_backbone(config, low.shape[-1])
    stretch = Stretch.fit(low, config.stretch)
    return SuperResolve(config, backbone, stretch, data, np.arange(len(data)), 1).eval()


def metrics_of(run: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return metrics


@pytest.mark.parametrize("backbone", ["vit", "rcan"])
@pytest.mark.parametrize("factor", [2, 4])
def test_the_total_flux_of_an_image_is_kept_whatever_the_weights(
    pairs: Path, noisy: Path, finetune_config: Any, backbone: str, factor: int
) -> None:
    data = shards.read(pairs if factor == 2 else noisy)
    module = fresh(finetune_config("superres", SMALL, backbone=backbone), data)
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
    """Model 2 as published has no noise: what the network keeps is what is true."""
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


def test_the_two_networks_have_as_many_parameters(pairs: Path) -> None:
    from learn.config import FinetuneConfig

    data, path = shards.read(pairs), shipped_config("finetune", "superres", "task")
    counts = []
    for backbone in ("vit", "rcan"):
        config = load_config(FinetuneConfig, path, (), backbone=backbone, encoder="none")
        counts.append(sum(p.numel() for p in fresh(config, data).parameters()))
    assert counts[1] == pytest.approx(counts[0], rel=0.1)


def test_an_rcan_adds_to_its_shallow_maps_and_sees_the_whole_image() -> None:
    config = RcanConfig(width=8, groups=2, blocks=2, reduction=4)
    rcan, image = Rcan(config), torch.randn(1, 1, 40, 40)
    assert rcan(image).shape == (1, 8, 40, 40)
    far = image.clone()
    far[..., 0] += 10.0
    # Beyond the reach of the convolutions, by the attention alone.
    assert not torch.equal(rcan(far)[..., -1], rcan(image)[..., -1])
    last = rcan.body[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    torch.testing.assert_close(rcan(image), rcan.first(image))


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


def test_what_an_rcan_learnt_serves_another_factor(
    rcan: Path, noisy: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config(
        "superres", SMALL, data=noisy, encoder=str(rcan), out=tmp_path / "again"
    )
    assert isinstance(load_encoder(finetune(config)[0]), Rcan)


def test_from_16_to_64_pixels_of_model_2_and_3(
    noisy: Path, tmp_path: Path, finetune_config: Any
) -> None:
    options = load_simulate_config(
        2, n=48, pairs=4, workers=1, device="cpu", out=tmp_path / "model2"
    )
    for model, data in ((2, simulate(options)[0]), (3, noisy)):
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
    noisy: Path, pairs: Path, finetune_config: Any
) -> None:
    measures = ("mse", "psnr", "ssim", "class_psnr")
    names = {f"{kind}{name}" for kind in ("", "clean_") for name in measures}
    rows = np.arange(0, 48, 5)
    for folder in (noisy, pairs):
        data = shards.read(folder)
        module = fresh(finetune_config("superres", SMALL), data)
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
        truth = noise_free_images(data, rows)[:, 0]
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
