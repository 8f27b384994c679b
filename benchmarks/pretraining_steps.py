"""Images a second of a training step of every pretraining method, and the memory it takes.

    python benchmarks/pretraining_steps.py [--batch 128] [--set encoder.depth=3] [--device cpu]
    python benchmarks/pretraining_steps.py --data [--methods mae,dino]

One process a method, all beside each other, in turn, on random images (with random lens fits
where the method sees them): view, loss, backward pass, optimiser and teachers, as in training. The
ratio is to the steps of the first method in the same turn, the median over turns, with its
quartiles. Fitting lenses, which is done once a data set, is not in it.

``--data`` times what comes before the network too: a batch drawn from a data set in memory (and
channels from a file mapped to it), moved to the device, and its random views; as a part of the step
of the same method in the same turn.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turns import in_turn

if TYPE_CHECKING:
    from learn.lens_fits.lens_fits import LensFits

METHODS = ("ijepa", "physics-ijepa", "mae", "simclr", "moco", "dino", "ibot")


class Rehearsal:
    """A method and a random batch for it.

    Attributes:
        module: of the method, on its device.
        images: the batch.
    """

    def __init__(self, method: str, batch: int, sets: list[str], device: str) -> None:
        import torch

        from learn.config import PretrainConfig
        from learn.data import Batch, Stretch
        from learn.lens_fits.channels import CHANNELS
        from learn.methods import method_class
        from lensphys.ground.config import load_config, shipped_config, validate

        torch.manual_seed(0)
        config = load_config(PretrainConfig, shipped_config("pretrain", method, "method"), sets)
        kind = method_class(method)
        self.module = kind(config, Stretch("asinh"), 1000).to(device)
        self.module.log_dict = self.module.log = lambda *_, **__: None
        #: Parameters of the method, checked.
        self.params = validate(kind.Params, config.params, "params")
        side = config.encoder.image_size
        image = torch.rand(batch, 1, side, side, device=device)
        fits = None
        if config.encoder.lens_fit is not None:
            channels = torch.randn(batch, len(CHANNELS), side, side)
            fits = random_fits(batch, channels).to(device)
        self.images = Batch(image, torch.zeros(batch, dtype=torch.int64), None, fits=fits)


def random_fits(count: int, channels: Any) -> LensFits:
    """Lens fits of so many images, of which the channels alone count here."""
    import torch

    from learn.lens_fits.lens_fits import NAMES, LensFits

    width = len(NAMES)
    values, chi2 = torch.zeros(count, width), torch.ones(count)
    covariance = torch.eye(width).expand(count, -1, -1).contiguous()
    return LensFits(NAMES, values, covariance, chi2, chi2 > 0, channels)


def method_step(
    method: str,
    batch: int,
    sets: list[str],
    device: str,
    *,
    half: bool | None = None,
    compiled: bool = False,
) -> Callable[[], None]:
    """Return a function that trains a method on one random batch, a step a call.

    ``half``: mixed precision with bfloat16, or not; None: as ``precision: auto`` chooses.
    ``compiled``: the encoders, as ``compile`` does.
    """
    import torch

    from learn.methods.teacher import TeacherMethod
    from learn.networks.encoder import Encoder
    from learn.training.loop import fastest_attention, prefers_half_precision

    rehearsal = Rehearsal(method, batch, sets, device)
    module = rehearsal.module
    if half is None:
        half = prefers_half_precision(module.config, device)
    if compiled:
        for part in module.modules():
            if isinstance(part, Encoder):
                part.compile()
    (optimizer,), _ = module.configure_optimizers()

    numbers = itertools.count()

    def step() -> None:
        # The same views and masks on both sides of a comparison: contexts differ in length.
        torch.manual_seed(next(numbers))
        optimizer.zero_grad()
        with fastest_attention(device, "bf16-mixed" if half else "32-true"):
            with torch.autocast(device, torch.bfloat16, enabled=half):
                loss = module.training_step(rehearsal.images, 0)
            loss.backward()
        optimizer.step()
        if isinstance(module, TeacherMethod):
            module.update_teachers()

    return step


def data_step(
    method: str, batch: int, sets: list[str], device: str, folder: str
) -> Callable[[], None]:
    """Return a function that draws a batch of a data set and makes its views, a batch a call."""
    import numpy as np
    import torch
    from pytorch_lightning.utilities import move_data_to_device

    from learn.data import BatchIndices, InMemory, loader
    from learn.lens_fits.channels import CHANNELS
    from learn.lens_fits.store import StoredChannels
    from simulate.shards import DataSet

    module = Rehearsal(method, batch, sets, device).module
    side, count = module.config.encoder.image_size, 16 * batch
    rng = np.random.default_rng(0)
    image = rng.random((count, 1, side, side), np.float32)
    label = np.zeros(count, np.int64)
    fits = None
    if module.config.encoder.lens_fit is not None:
        shape = (count, len(CHANNELS), side, side)
        channels = np.memmap(f"{folder}/channels", np.float16, "w+", shape=shape)
        channels[:] = rng.standard_normal(shape, np.float32)
        fits = random_fits(count, StoredChannels([channels], label, np.arange(count)))
    memory = InMemory(DataSet(Path(folder), image, label, {}, None, {}, {}), fits=fits)
    drawn = loader(memory, BatchIndices(np.arange(count), batch, shuffle=True))
    batches = itertools.chain.from_iterable(itertools.repeat(drawn))

    def step() -> None:
        images = move_data_to_device(next(batches), torch.device(device))
        for _ in range(module.views):
            module.view(images)

    return step


def main() -> None:
    """Time the methods beside one another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--data", action="store_true", help="time what comes before the network")
    parser.add_argument("--set", action="append", default=[], dest="sets")
    options = parser.parse_args()
    methods = options.methods.split(",")
    steps = {
        name: functools.partial(method_step, name, options.batch, options.sets, options.device)
        for name in methods
    }
    with tempfile.TemporaryDirectory() as folder:
        if options.data:
            steps |= {
                f"{name}: data": functools.partial(data_step, *step.args, folder)
                for name, step in steps.items()
            }
        found = in_turn(steps, options.turns)
    print(f"batch {options.batch}, {options.device}, {' '.join(options.sets)}")
    if options.data:
        for method in methods:
            part, low, high = found[f"{method}: data"].over(found[method])
            print(f"{method:16s} {part:.1%} of a step is its data ({low:.1%} to {high:.1%})")
        return
    for method, timing in found.items():
        ratio, low, high = timing.over(found[methods[0]])
        print(
            f"{method:16s} {1e3 * timing.median:8.1f} ms a step "
            f"{options.batch / timing.median:8.0f} images/s {timing.memory:7.0f} MiB   "
            f"{ratio:.2f} times the first ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
