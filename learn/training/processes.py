"""Training in several processes, one a device: ranks, and the folder that they share."""

from __future__ import annotations

import os
from pathlib import Path

from learn.config import TrainingConfig
from lensphys.ground.errors import InputError

#: The variable by which the first process tells those that it starts the folder of the run.
_FOLDER = "LENSPHYS_RUN_FOLDER"
_TORCHRUN_RANK, _SLURM_RANK = "RANK", "SLURM_PROCID"


def process_rank(config: TrainingConfig) -> int:
    """The number of this process among all that train, from 0; 0 where it is the only one."""
    if config.processes == 1:
        return 0
    if _TORCHRUN_RANK in os.environ:
        return int(os.environ[_TORCHRUN_RANK])
    if _is_slurm():
        return int(os.environ[_SLURM_RANK])
    node, local = (int(os.environ.get(name, 0)) for name in ("NODE_RANK", "LOCAL_RANK"))
    return node * config.devices + local


def started_by_a_launcher() -> bool:
    """Tell whether torchrun or Slurm has started this process among others."""
    return _TORCHRUN_RANK in os.environ or _is_slurm()


def _is_slurm() -> bool:
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    return bool(SLURMEnvironment.detect())


def announce_folder(folder: Path) -> None:
    """Tell the processes that Lightning will start from here which folder the run is in."""
    os.environ[_FOLDER] = str(folder.resolve())


def announced_folder(config: TrainingConfig) -> Path:
    """The folder of the run, for any process but the first."""
    return config.out or Path(os.environ[_FOLDER])


def check_devices(config: TrainingConfig) -> None:
    """Refuse what cannot run.

    Raises:
        InputError: for more devices than there are, or several nodes or a launcher without a
            folder that all processes know.
    """
    if config.device == "cuda":
        import torch

        count = torch.cuda.device_count()
        if config.devices > count:
            raise InputError(f"--devices {config.devices}: there are {count} CUDA devices here")
    if config.processes == 1 or config.out is not None:
        return
    if config.nodes > 1 or started_by_a_launcher():
        raise InputError(
            "processes that are started side by side need --out, a folder that all of them see"
        )
