"""Images a second of a training step of every pretraining method, and the memory it takes.

    python benchmarks/pretraining_steps.py [--batch 128] [--set encoder.depth=3] [--device cpu]

One process a method, turn by turn, on random images (with a random lens prior where the method
sees one): view, loss, backward pass, optimiser and teachers, as in training. Several rounds, since
other processes disturb: the ratio is the median over them, each to the first method in the same
round. Fitting lenses, which is done once a data set, is not in it.
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    options = parser.parse_args()
    methods = options.methods.split(",")
    found: dict[str, list[tuple[float, float]]] = {method: [] for method in methods}
    for _ in range(options.rounds):
        for method in methods:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                arguments = method, options.batch, options.sets, options.device, options.steps
                found[method].append(pool.apply(step_seconds, arguments))
    first = [seconds for seconds, _ in found[methods[0]]]
    print(f"batch {options.batch}, {options.device}, {' '.join(options.sets)}")
    for method, rounds in found.items():
        seconds = statistics.median(taken for taken, _ in rounds)
        ratios = [own / of for (own, _), of in zip(rounds, first, strict=True)]
        print(
            f"{method:16s} {1e3 * seconds:8.1f} ms a step {options.batch / seconds:8.0f} images/s "
            f"{max(memory for _, memory in rounds):7.0f} MiB   "
            f"{statistics.median(ratios):.2f} times the first "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
