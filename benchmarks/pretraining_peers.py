"""A training step of ours beside the same step made of a peer's parts: images a second, in turn.

    python benchmarks/pretraining_peers.py [--methods mae,ijepa] [--peer FILE] [--single]
    python benchmarks/pretraining_peers.py --precision [--methods mae,ijepa]

The peer of every method is put together from the public components of lightly, in the order of its
own examples: its masked vision transformer over timm's, its heads, losses and momentum updates.
Width, depth, patches, batch, views and optimiser are ours. Both sides draw their views with our
code, and in I-JEPA their masks, so that the difference is the step alone: the collator of lightly
cuts contexts to half the patches (10 against 20 of 64), a smaller task. Its iBOT goes without the
stochastic depth of the example.

MAE has two more peers, at the size that is common in public code for simulated lenses (64 x 64
pixels, patches of 16, width 192, 6 blocks, a decoder of the same width and 4 blocks; batch 512): a
plain one of timm's blocks, and with ``--peer`` a file of anybody's that holds a class ``MAE_ViT``
with the arguments ``image_size, patch_size, emb_dim, encoder_layer, encoder_head, decoder_layer,
decoder_head, mask_ratio``, which turns images into pictures and masks.

Ours is in the precision that ``precision: auto`` chooses, which ``--single`` holds at single
precision; peers are in single precision, as their examples are.

``--precision`` times ours, MAE and I-JEPA where no others are named, in single and mixed precision
and compiled.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_steps import (
    Step,
    lightly_dino,
    lightly_ibot,
    lightly_ijepa,
    lightly_mae,
    lightly_moco,
    lightly_simclr,
)
from pretraining_steps import Rehearsal, method_step
from turns import Maker, in_turn

if TYPE_CHECKING:
    from torch import Tensor

    from learn.methods.base import Method

_COMMON_BATCH = 512
_COMMON_MAE = [
    "encoder.patch_size=16",
    "params.mask_ratio=0.75",
    "params.decoder_dim=192",
    "params.decoder_depth=4",
    "params.decoder_heads=3",
]


def plain_mae(own: Method) -> Step:
    """The masked autoencoder of the paper, of timm's patches and blocks; class token, all patches.

    Every patch is predicted, and the loss is that of the hidden ones.
    """
    import torch
    from timm.layers import PatchEmbed
    from timm.models.vision_transformer import Block
    from torch import nn

    encoder, params = own.config.encoder, own.params

    class PlainMAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width, inner, patch = encoder.embed_dim, params.decoder_dim, encoder.patch_size
            self.patches = PatchEmbed(encoder.image_size, patch, 1, width)
            count = self.patches.num_patches
            self.class_token = nn.Parameter(torch.zeros(1, 1, width))
            self.positions = nn.Parameter(0.02 * torch.randn(1, count + 1, width))
            blocks = [Block(width, encoder.num_heads, qkv_bias=True) for _ in range(encoder.depth)]
            self.encode = nn.Sequential(*blocks, nn.LayerNorm(width))
            self.narrow = nn.Linear(width, inner)
            self.mask_token = nn.Parameter(torch.zeros(1, 1, inner))
            self.decoder_positions = nn.Parameter(0.02 * torch.randn(1, count + 1, inner))
            heads = params.decoder_heads
            blocks = [Block(inner, heads, qkv_bias=True) for _ in range(params.decoder_depth)]
            self.decode = nn.Sequential(*blocks, nn.LayerNorm(inner), nn.Linear(inner, patch**2))

        def forward(self, image: Tensor) -> Tensor:
            patches = self.patches(image) + self.positions[:, 1:]
            count, number, width = patches.shape
            order = torch.rand(count, number, device=image.device).argsort(1)
            back = order.argsort(1)
            kept = round(number * (1 - params.mask_ratio))
            seen = patches.gather(1, order[:, :kept, None].expand(-1, -1, width))
            first = (self.class_token + self.positions[:, :1]).expand(count, -1, -1)
            seen = self.narrow(self.encode(torch.cat([first, seen], 1)))
            masked = self.mask_token.expand(count, number - kept, -1)
            tokens = torch.cat([seen[:, 1:], masked], 1)
            tokens = tokens.gather(1, back[..., None].expand(-1, -1, tokens.shape[-1]))
            tokens = torch.cat([seen[:, :1], tokens], 1) + self.decoder_positions
            predicted = self.decode(tokens)[:, 1:]
            side, patch = own.encoder.grid, encoder.patch_size
            pieces = image.view(count, side, patch, side, patch).transpose(2, 3)
            error = (predicted - pieces.reshape(count, number, -1)).pow(2).mean(-1)
            hidden = (back >= kept).float()
            return (error * hidden).sum() / hidden.sum()

    model = PlainMAE()
    return model, lambda: None, model


def foreign_mae(own: Method, path: Path) -> Step:
    """The class ``MAE_ViT`` of a file, on images of three channels as such code wants them."""
    spec = importlib.util.spec_from_file_location("peer", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encoder, params = own.config.encoder, own.params
    model = module.MAE_ViT(
        image_size=encoder.image_size,
        patch_size=encoder.patch_size,
        emb_dim=encoder.embed_dim,
        encoder_layer=encoder.depth,
        encoder_head=encoder.num_heads,
        decoder_layer=params.decoder_depth,
        decoder_head=params.decoder_heads,
        mask_ratio=params.mask_ratio,
    )

    def loss(image: Tensor) -> Tensor:
        image = image.expand(-1, 3, -1, -1)
        predicted, mask = model(image)
        return ((predicted - image) ** 2 * mask).mean() / params.mask_ratio

    return loss, lambda: None, model


def peer_step(
    make: Callable[[Method], Step], method: str, batch: int, sets: list[str], device: str
) -> Callable[[], None]:
    """Return a function that trains a peer of a method on one random batch, a step a call."""
    import warnings

    import torch

    warnings.simplefilter("ignore")  # what of lightly goes away in its next version
    rehearsal = Rehearsal(method, batch, sets, device)
    own = rehearsal.module
    own.params = rehearsal.params  # not all methods keep them
    loss, move, model = make(own)
    model.to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1.5e-4)

    numbers = itertools.count()

    def step() -> None:
        torch.manual_seed(next(numbers))
        optimizer.zero_grad()
        loss(*(own.view(rehearsal.images) for _ in range(own.views))).backward()
        optimizer.step()
        move()

    return step


LIGHTLY: dict[str, Callable[[Method], Step]] = {
    "mae": lightly_mae,
    "ijepa": lightly_ijepa,
    "simclr": lightly_simclr,
    "moco": lightly_moco,
    "dino": lightly_dino,
    "ibot": lightly_ibot,
}
#: Name -> how the encoder runs, and whether it is compiled.
PRECISIONS = {
    "fp32": ("32", False),
    "bf16": ("bf16", False),
    "fp32, compiled": ("32", True),
    "bf16, compiled": ("bf16", True),
}


def _compare(name: str, ours: Maker, peers: dict[str, Maker], batch: int, turns: int) -> None:
    """Print one line a peer: how many times its images a second we do."""
    found = in_turn({"ours": ours, **peers}, turns)
    own = found["ours"]
    for peer in peers:
        ratio, low, high = found[peer].over(own)
        print(
            f"{name:8s} {batch / own.median:8.0f} {batch / found[peer].median:8.0f}   "
            f"{ratio:.2f} ({low:.2f} to {high:.2f})   "
            f"{own.memory:6.0f} {found[peer].memory:6.0f}   {peer}",
            flush=True,
        )


def compare_peers(options: argparse.Namespace) -> None:
    """The table of peers."""
    batch, device, turns = options.batch, options.device, options.turns
    own_step = functools.partial(method_step, half=False if options.single else None)
    print(f"{device}, {' '.join(options.sets)}")
    print("method       ours     peer   ours/peer (quartiles)     MiB    MiB   peer")
    methods = (options.methods or ",".join(LIGHTLY)).split(",")
    for method in methods:
        arguments = method, batch, options.sets, device
        peer = functools.partial(peer_step, LIGHTLY[method], *arguments)
        ours = functools.partial(own_step, *arguments)
        _compare(method, ours, {"lightly": peer}, batch, turns)
    if "mae" in methods:
        arguments = "mae", _COMMON_BATCH, _COMMON_MAE, device
        peers = {"plain timm, patch 16": functools.partial(peer_step, plain_mae, *arguments)}
        if options.peer:
            foreign = functools.partial(foreign_mae, path=options.peer)
            peers[str(options.peer)] = functools.partial(peer_step, foreign, *arguments)
        ours = functools.partial(own_step, *arguments)
        _compare("mae", ours, peers, _COMMON_BATCH, turns)


def compare_precisions(options: argparse.Namespace) -> None:
    """The table of precisions: how many times the images a second of fp32 each does."""
    print(f"batch {options.batch}, {options.device}, {' '.join(options.sets)}")
    for method in (options.methods or "mae,ijepa").split(","):
        found = in_turn(
            {
                name: functools.partial(
                    method_step,
                    method,
                    options.batch,
                    options.sets,
                    options.device,
                    half=precision == "bf16",
                    compiled=compiled,
                )
                for name, (precision, compiled) in PRECISIONS.items()
            },
            options.turns,
            warm=5,  # a compiler works anew for the first contexts of other lengths
        )
        for name, timing in found.items():
            ratio, low, high = found["fp32"].over(timing)
            print(
                f"{method:8s} {name:16s} {options.batch / timing.median:8.0f} images/s   "
                f"{ratio:.2f} times fp32 ({low:.2f} to {high:.2f})   {timing.memory:6.0f} MiB",
                flush=True,
            )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", help="separated by commas")
    parser.add_argument("--peer", type=Path, help="a file with a class MAE_ViT")
    parser.add_argument("--single", action="store_true", help="ours in single precision")
    parser.add_argument("--precision", action="store_true", help="ours in every precision")
    parser.add_argument("--set", action="append", default=[], dest="sets")
    options = parser.parse_args()
    if options.precision:
        compare_precisions(options)
    else:
        compare_peers(options)


if __name__ == "__main__":
    main()
