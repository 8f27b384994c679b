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
from collections.abc import Callable

from turns import in_turn

METHODS = ("ijepa", "physics-ijepa", "mae", "simclr", "moco", "dino", "ibot")


def method_step(method: str, batch: int, sets: list[str], device: str) -> Callable[[], None]:
    """What trains a method on the same random batch, a step a call."""
    import torch

    from learn.config import PretrainConfig
    from learn.data import Batch, Stretch
    from learn.lens_prior import CHANNELS
    from learn.methods import method_class
    from learn.methods.teacher import TeacherMethod
    from simulate.config import load_config, shipped_config

    torch.manual_seed(0)
    config = load_config(PretrainConfig, shipped_config("pretrain", method, "method"), sets)
    module = method_class(method)(config, Stretch("asinh"), 1000).to(device)
    module.log_dict = module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    (optimizer,), _ = module.configure_optimizers()
    side = config.encoder.image_size
    image = torch.rand(batch, 1, side, side, device=device)
    prior = None
    if config.encoder.prior is not None:
        prior = torch.randn(batch, len(CHANNELS), side, side, device=device)
    images = Batch(image, torch.zeros(batch, dtype=torch.int64), None, prior=prior)

    def step() -> None:
        optimizer.zero_grad()
        module.training_step(images, 0).backward()
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
