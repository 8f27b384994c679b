"""Room for a data set: disk and memory, looked at before the first image is drawn."""

from __future__ import annotations

import math
import os
from pathlib import Path

from lensphys.ground.errors import InputError
from lensphys.ground.room import check_disk, check_memory
from simulate.config import SimulateConfig
from simulate.instruments import instrument

#: Bytes of an image beside its pixels, and of a shard beside its images.
_PER_IMAGE, _PER_SHARD = 400, 20_000
#: Bytes that each of several processes takes beside its shard; they share most of what they import.
_PER_PROCESS = 5 * 10**7
#: Times a shard that is in memory while it is made: blocks, and what they are joined to.
_COPIES = 2.5
#: Shards that a manifest lists.
_MOST_SHARDS = 10**6


def workers_of(config: SimulateConfig) -> int:
    """Processes that a configuration asks for: one a core where it does not say."""
    return config.workers or len(os.sched_getaffinity(0))


def check_room_on_disk(config: SimulateConfig, out: Path) -> None:
    """Refuse a data set that does not fit on the disk, or is of more files than are listed.

    Args:
        config: of the data set.
        out: its folder; what is in it already is not made again.

    Raises:
        InputError: with what is needed and what there is.
    """
    shards = -(-config.n // config.shard_size)
    need = config.n * _bytes_of_image(config) + shards * _PER_SHARD - _there(out)
    check_disk(out, need, f"{config.n:,} images", "make fewer with --n, or choose another --out")
    if shards > _MOST_SHARDS:
        size = 10 ** math.ceil(math.log10(config.n / _MOST_SHARDS))
        raise InputError(
            f"{config.n:,} images in shards of {config.shard_size:,} are {shards:,} files, more "
            f"than {_MOST_SHARDS:,}; make larger ones with --set shard_size={size}"
        )


def check_room_in_memory(config: SimulateConfig, workers: int) -> None:
    """Refuse shards that do not fit into memory, one in each of several processes.

    Raises:
        InputError: with what is needed and what there is.
    """
    shard = _COPIES * _bytes_of_image(config) * min(config.shard_size, config.n)
    if workers > 1:
        what = f"{workers:,} processes that make shards of {config.shard_size:,} images"
        advice = "give fewer --workers, or make smaller shards with --set shard_size=1024"
        check_memory(workers * (shard + _PER_PROCESS), what, advice)
    else:
        what = f"shards of {min(config.shard_size, config.n):,} images"
        check_memory(shard, what, "make smaller ones with --set shard_size=1024")


def _bytes_of_image(config: SimulateConfig) -> int:
    pixels = instrument(config.instrument).n_pix ** 2
    pixels += pixels // config.pairs**2 if config.pairs else 0
    return 4 * pixels + _PER_IMAGE


def _there(out: Path) -> int:
    """Bytes of the shards in a folder."""
    try:
        return sum(path.stat().st_size for path in out.glob("shard-*.h5"))
    except OSError:
        return 0
