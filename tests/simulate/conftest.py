"""Configurations and small data sets for the tests of several modules."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulate.config import SimulateConfig
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import DataSet, read

Configure = Callable[..., SimulateConfig]


@pytest.fixture(scope="session")
def configure() -> Configure:
    """The shipped configuration of a model, with keys and ``a.b=c`` strings changed."""

    def load(
        model: int = 2, *sets: str, preset: str = "published", **changes: Any
    ) -> SimulateConfig:
        return load_simulate_config(model, preset, sets, device="cpu", workers=1, **changes)

    return load


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a folder, hidden ones too, by name."""

    def read(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    return read


@pytest.fixture(scope="session")
def small_config(configure: Configure) -> SimulateConfig:
    """Model 2 in three shards of 32 images."""
    return configure(2, n=96, shard_size=32, seed=5)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_config: SimulateConfig) -> Path:
    """The data set of ``small_config``, made in one go by one process. Not to be changed."""
    out = tmp_path_factory.mktemp("undisturbed") / "data"
    simulate(small_config.model_copy(update={"out": out}))
    return out


@pytest.fixture
def copy(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of the data set ``undisturbed``, to be damaged."""
    return Path(shutil.copytree(undisturbed, tmp_path / "copy"))


@pytest.fixture(scope="session")
def physical_data(tmp_path_factory: pytest.TempPathFactory, configure: Configure) -> DataSet:
    """90 images of the preset ``physical``."""
    out = tmp_path_factory.mktemp("physical") / "data"
    return read(simulate(configure(2, preset="physical", n=90, shard_size=40, out=out))[0])
