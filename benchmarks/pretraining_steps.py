"""Images a second of a training step of every pretraining method, and the memory it takes.

    python benchmarks/pretraining_steps.py [--batch 128] [--set encoder.depth=3] [--device cpu]

One process a method, turn by turn, on random images (with a random lens prior where the method
sees one): view, loss, backward pass, optimiser and teachers, as in training. The ratio is to the
time of a step of I-JEPA in the same run; that of fitting lenses, which is done once a data set, is
not in it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time

METHODS = ("ijepa", "physics-ijepa", "mae", "simclr", "moco", "dino", "ibot")


def step_seconds(
    method: str, batch: int, sets: list[str], device: str, steps: int
) -> tuple[float, float]:
    """Median seconds of a step, and the peak memory in MiB of this process or its device."""
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
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        module.training_step(images, 0).backward()
        optimizer.step()
        if isinstance(module, TeacherMethod):
            module.update_teachers()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return statistics.median(seconds[2:]), memory


def main() -> None:
    """Time the methods one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--set", action="append", default=[], dest="sets")
    options = parser.parse_args()
    found = {}
    for method in options.methods.split(","):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[method] = pool.apply(
                step_seconds,
                (method, options.batch, options.sets, options.device, options.steps),
            )
    first = next(iter(found.values()))[0]
    print(f"batch {options.batch}, {options.device}, {' '.join(options.sets)}")
    for method, (seconds, memory) in found.items():
        rate = options.batch / seconds
        print(
            f"{method:16s} {1e3 * seconds:8.1f} ms a step {rate:8.0f} images/s "
            f"{memory:7.0f} MiB   {seconds / first:.2f} times the first"
        )


if __name__ == "__main__":
    main()
