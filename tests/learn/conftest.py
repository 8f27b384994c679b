import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything

import cli
from learn.config import FinetuneConfig, LensFitConfig, PretrainConfig
from learn.data_description import describe
from learn.finetune import finetune
from learn.lens_fits.features import SEARCH_FEATURES
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.usual_lens import UsualLens
from learn.pretrain import pretrain
from learn.tasks import task_class
from learn.tasks.base import Task
from lensphys.fitting.scene import LensScene
from lensphys.ground.config import load_config, shipped_config, validate
from simulate import shards
from simulate.presets import load_simulate_config
from simulate.run import simulate

TINY = {"embed_dim": 24, "depth": 2, "num_heads": 3, "patch_size": 16, "image_size": 64}
#: Small heads for the methods that have large ones.
HEADS = {
    "simclr": ("params.hidden_dim=32", "params.output_dim=16"),
    "moco": ("params.hidden_dim=32", "params.output_dim=16"),
    "lejepa": ("params.hidden_dim=32", "params.output_dim=16"),
    "lens-lejepa": ("params.hidden_dim=32", "params.output_dim=16"),
    "dino": ("params.hidden_dim=32", "params.bottleneck_dim=16", "params.prototypes=64"),
    "ibot": ("params.hidden_dim=32", "params.bottleneck_dim=16", "params.prototypes=64"),
}
#: All channels of a lens fit; as an option of a task from scratch; and one with few steps, since
#: images that show no lens take long to fit.
WHOLE_FIT = LensFitConfig(
    steps=50,
    residual="fit",
    response=True,
    source_plane=True,
    detection=False,
    source="auto",
    source_order=(12, 8),
)
LENS_FIT = (
    "scratch_encoder.lens_fit={steps: 50, residual: fit, response: true, source_plane: true, "
    "detection: false, source: auto, source_order: [12, 8]}"
)
QUICK_FIT = LENS_FIT.replace("50", "16")
#: Small heads for the tasks that have large ones.
SMALL = {"superres": ("params.width=4", "params.blocks=1")}


def simulated(folder: Path, model: int, n: int, **overrides: Any) -> Path:
    """A small data set, made by the real program."""
    config = load_simulate_config(model, n=n, workers=1, out=folder, device="cpu", **overrides)
    return simulate(config)[0]


@pytest.fixture(scope="session")
def model2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("model2") / "data", 2, 60)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("pairs") / "data", 2, 48, pairs=2)


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model 3 with the noise of a detector, and at 16 pixels too."""
    folder = tmp_path_factory.mktemp("noisy") / "data"
    return simulated(folder, 3, 48, preset="physical", pairs=4)


@pytest.fixture(scope="session")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> shards.DataSet:
    """Model 3 with the noise of a detector, lenses without substructure."""
    folder = tmp_path_factory.mktemp("smooth") / "data"
    return shards.read(simulated(folder, 3, 24, preset="physical", classes=("no_sub",)))


@pytest.fixture(scope="session")
def look_alikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lenses and look-alikes with the noise of a detector, at 64 and 32 pixels."""
    folder = tmp_path_factory.mktemp("look_alikes") / "data"
    sets = ["non_lens.fraction=0.25"]
    return simulated(folder, 2, 24, preset="physical", sets=sets, pairs=2)


@pytest.fixture(scope="session")
def non_lenses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model 2 without noise, lenses and look-alikes."""
    folder = tmp_path_factory.mktemp("non_lenses") / "data"
    return simulated(folder, 2, 50, sets=["non_lens.fraction=0.4"])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    seed_everything(0, verbose=False)


@pytest.fixture
def pretrain_config() -> Any:
    def make(method: str, sets: tuple[str, ...] = (), **overrides: Any) -> PretrainConfig:
        small = ("optimizer.epochs=2", "optimizer.batch_size=16", "optimizer.warmup_epochs=0")
        encoder = tuple(f"encoder.{key}={value}" for key, value in TINY.items())
        path = shipped_config("pretrain", method, "method")
        overrides = {"device": "cpu", **overrides}
        sets = (*encoder, *small, *HEADS.get(method, ()), *sets)
        return load_config(PretrainConfig, path, sets, **overrides)

    return make


@pytest.fixture
def finetune_config() -> Any:
    def make(task: str, sets: tuple[str, ...] = (), **overrides: Any) -> FinetuneConfig:
        small = ("optimizer.epochs=2", "optimizer.batch_size=16", "optimizer.warmup_epochs=0")
        encoder = tuple(f"scratch_encoder.{key}={value}" for key, value in TINY.items())
        path = shipped_config("finetune", task, "task")
        overrides = {"device": "cpu", "encoder": "none", **overrides}
        return load_config(FinetuneConfig, path, (*encoder, *small, *sets), **overrides)

    return make


def finetuned(task: str, data: Path, out: Path, sets: tuple[str, ...] = ()) -> Path:
    """A small network after one epoch, made by the real program."""
    small = ("optimizer.epochs=1", "optimizer.batch_size=16", "optimizer.warmup_epochs=0")
    encoder = tuple(f"scratch_encoder.{key}={value}" for key, value in TINY.items())
    path = shipped_config("finetune", task, "task")
    config = load_config(
        FinetuneConfig,
        path,
        (*encoder, *small, *sets),
        data=data,
        device="cpu",
        encoder="none",
        out=out,
    )
    return finetune(config)[0]


@pytest.fixture(scope="session")
def classifier(model2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetuned("classify", model2, tmp_path_factory.mktemp("classifier") / "run")


@pytest.fixture(scope="session")
def superresolver(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("superresolver") / "run"
    return finetuned("superres", pairs, out, ("params.width=8", "params.blocks=1"))


@pytest.fixture(scope="session")
def regressor(model2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetuned("regress", model2, tmp_path_factory.mktemp("regressor") / "run")


@pytest.fixture(scope="session")
def encoder_run(model2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder pretrained by MAE for one epoch."""
    sets = ["encoder.embed_dim=24", "encoder.depth=2", "encoder.patch_size=16"]
    sets += ["optimizer.epochs=1", "optimizer.batch_size=16"]
    path = shipped_config("pretrain", "mae", "method")
    out = tmp_path_factory.mktemp("encoder") / "run"
    return pretrain(load_config(PretrainConfig, path, sets, data=model2, device="cpu", out=out))[0]


@pytest.fixture
def untrained_task(finetune_config: Any) -> Any:
    """A task that has learnt the constants of its training images, and nothing else."""

    def make(
        task: str, data: Path | shards.DataSet, *sets: str, **overrides: Any
    ) -> tuple[Any, shards.DataSet]:
        data = shards.read(data) if isinstance(data, Path) else data
        options = (*SMALL.get(task, ()), *sets)
        config = finetune_config(task, options, data=data.path, **overrides)
        kind, everything = task_class(task), np.arange(len(data))
        params = validate(kind.Params, config.params, "params")
        resolved = kind.resolve_params(params, data, everything, lambda line: None)
        config = config.model_copy(update={"params": resolved})
        torch.manual_seed(0)
        encoder = kind.make_backbone(config, kind.inputs(data).shape[-1])
        module: Task = kind(config, encoder, describe(data)).eval()
        module.learn_data(data, everything)
        return module, data

    return make


@pytest.fixture
def random_fits() -> Any:
    """Lens fits in double precision, about a lens that could be."""

    def make(count: int, *, lens_light: bool = False, compared: bool = False) -> LensFits:
        names = LensScene("EPL", lens_light=lens_light).names
        usual = {"theta_E": 1.2, "gamma": 2.0, "R_sersic": 0.3, "n_sersic": 1.5, "amplitude": 20.0}
        values = [
            usual.get(name.removeprefix("source_").removeprefix("lens_light_"), 0.0)
            + 0.1 * torch.rand(count, dtype=torch.float64)
            for name in names
        ]
        half = torch.rand(count, len(names), len(names), dtype=torch.float64) - 0.5
        covariance = half @ half.mT / len(names)
        found = torch.ones(count, dtype=torch.bool)
        statistics = torch.randn(count, SEARCH_FEATURES, dtype=torch.float64)
        fits = LensFits(
            names,
            torch.stack(values, 1),
            covariance,
            torch.ones(count),
            found,
            statistics=statistics,
        )
        return compare(fits) if compared else fits

    return make


def compare(fits: LensFits) -> LensFits:
    """Lens fits compared with the usual lens among them."""
    usual = UsualLens()
    usual.learn(fits)
    return usual.compare(fits)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Any:
    """Run a command line that must be refused, and return the line that it ends with."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            cli.main(shlex.split(line))
        captured = capsys.readouterr()
        assert stop.value.code == 2
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return captured.err

    return run
