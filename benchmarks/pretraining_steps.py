"""Images a second of a training step of every pretraining method, and the memory it takes.

    python benchmarks/pretraining_steps.py [--batch 128] [--set encoder.depth=3] [--device cpu]

One process a method, all beside each other, a step each in turn, on random images (with a random
lens prior where the method sees one): view, loss, backward pass, optimiser and teachers, as in
training. The ratio is to the step of the first method in the same turn, the median over turns, with
its quartiles. Fitting lenses, which is done once a data set, is not in it.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable

from turns import in_turn

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
        from learn.lens_prior import CHANNELS
        from learn.methods import method_class
        from simulate.config import checked, load_config, shipped_config

        torch.manual_seed(0)
        config = load_config(PretrainConfig, shipped_config("pretrain", method, "method"), sets)
        kind = method_class(method)
        self.module = kind(config, Stretch("asinh"), 1000).to(device)
        self.module.log_dict = self.module.log = lambda *_, **__: None
        #: Of the method, checked.
        self.params = checked(kind.Params, config.params, "params")
        side = config.encoder.image_size
        image = torch.rand(batch, 1, side, side, device=device)
        prior = None
        if config.encoder.prior is not None:
            prior = torch.randn(batch, len(CHANNELS), side, side, device=device)
        self.images = Batch(image, torch.zeros(batch, dtype=torch.int64), None, prior=prior)


def method_step(
    method: str,
    batch: int,
    sets: list[str],
    device: str,
    *,
    half: bool = False,
    compiled: bool = False,
) -> Callable[[], None]:
    """What trains a method on the same random batch, a step a call.

    ``half``: mixed precision with bfloat16; ``compiled``: the encoders, as ``compile`` does.
    """
    import torch

    from learn.backbone import Encoder
    from learn.methods.teacher import TeacherMethod

    rehearsal = Rehearsal(method, batch, sets, device)
    module = rehearsal.module
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
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = module.training_step(rehearsal.images, 0)
        loss.backward()
        optimizer.step()
        if isinstance(module, TeacherMethod):
            module.update_teachers()

    return step


def main() -> None:
    """Time the methods beside one another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--set", action="append", default=[], dest="sets")
    options = parser.parse_args()
    methods = options.methods.split(",")
    steps = {
        name: functools.partial(method_step, name, options.batch, options.sets, options.device)
        for name in methods
    }
    found = in_turn(steps, options.steps)
    print(f"batch {options.batch}, {options.device}, {' '.join(options.sets)}")
    for method, timing in found.items():
        ratio, low, high = timing.over(found[methods[0]])
        print(
            f"{method:16s} {1e3 * timing.median:8.1f} ms a step "
            f"{options.batch / timing.median:8.0f} images/s {timing.memory:7.0f} MiB   "
            f"{ratio:.2f} times the first ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
