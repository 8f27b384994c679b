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
import copy
import functools
import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretraining_steps import Rehearsal, method_step
from turns import Maker, in_turn

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learn.methods.base import Method

#: A function that returns the loss of views, one that moves the teachers, and the network.
Step = tuple[Callable[..., "Tensor"], Callable[[], None], "nn.Module"]

_COMMON_BATCH = 512
_COMMON_MAE = [
    "encoder.patch_size=16",
    "params.mask_ratio=0.75",
    "params.decoder_dim=192",
    "params.decoder_depth=4",
    "params.decoder_heads=3",
]


def _vit(own: Method, *, class_token: bool = True) -> nn.Module:
    """The vision transformer of timm at the size of ours, as lightly wraps it."""
    from lightly.models.modules import MaskedVisionTransformerTIMM
    from timm.models.vision_transformer import VisionTransformer

    encoder = own.config.encoder
    vit = VisionTransformer(
        img_size=encoder.image_size,
        patch_size=encoder.patch_size,
        in_chans=1,
        num_classes=0,
        embed_dim=encoder.embed_dim,
        depth=encoder.depth,
        num_heads=encoder.num_heads,
        class_token=class_token,
        global_pool="token" if class_token else "avg",
        fc_norm=False,
        dynamic_img_size=True,
    )
    return MaskedVisionTransformerTIMM(vit=vit)


def _follow(*students: nn.Module) -> tuple[list[nn.Module], Callable[[float], None]]:
    """Teachers, and what moves them."""
    from lightly.models.utils import deactivate_requires_grad, update_momentum

    teachers = [copy.deepcopy(student) for student in students]
    for teacher in teachers:
        deactivate_requires_grad(teacher)

    def move(momentum: float) -> None:
        for student, teacher in zip(students, teachers, strict=True):
            update_momentum(student, teacher, m=momentum)

    return teachers, move


def lightly_mae(own: Method) -> Step:
    """Masked autoencoder."""
    from lightly.models import utils
    from lightly.models.modules import MAEDecoderTIMM
    from torch import nn

    params, patch = own.params, own.config.encoder.patch_size
    backbone: Any = _vit(own)
    decoder = MAEDecoderTIMM(
        num_patches=backbone.vit.patch_embed.num_patches,
        patch_size=patch,
        in_chans=1,
        embed_dim=backbone.vit.embed_dim,
        decoder_embed_dim=params.decoder_dim,
        decoder_depth=params.decoder_depth,
        decoder_num_heads=params.decoder_heads,
    )
    criterion = nn.MSELoss()

    def loss(images: Tensor) -> Tensor:
        size = len(images), backbone.sequence_length
        keep, hidden = utils.random_token_mask(size, params.mask_ratio, device=images.device)
        seen = decoder.embed(backbone.encode(images, idx_keep=keep))
        tokens = utils.repeat_token(decoder.mask_token, size)
        tokens = utils.set_at_index(tokens, keep, seen.type_as(tokens))
        predicted = decoder.predict(utils.get_at_index(decoder.decode(tokens), hidden))
        target = utils.get_at_index(utils.patchify(images, patch), hidden - 1)
        return criterion(predicted, target)

    return loss, lambda: None, nn.ModuleList([backbone, decoder])


def lightly_ijepa(own: Method) -> Step:
    """Joint-embedding prediction."""
    import torch
    from lightly.models import utils
    from lightly.models.modules.ijepa_timm import IJEPAPredictorTIMM
    from torch import nn
    from torch.nn import functional as F

    params, encoder = own.params, own.config.encoder
    backbone: Any = _vit(own, class_token=False)
    predictor = IJEPAPredictorTIMM(
        num_patches=backbone.vit.patch_embed.num_patches,
        depth=params.predictor_depth,
        mlp_dim=encoder.embed_dim,
        predictor_embed_dim=params.predictor_dim,
        num_heads=params.predictor_heads,
    )
    (teacher,), move = _follow(backbone)
    criterion = nn.SmoothL1Loss()

    def loss(images: Tensor) -> Tensor:
        context, targets = own.masks(images)
        context, targets = context.to(images.device), [t.to(images.device) for t in targets]
        predicted = predictor(backbone.encode(images, idx_keep=context), context, targets)
        with torch.no_grad():
            features = teacher.encode(images)
            features = F.layer_norm(features, (features.size(-1),))
            hidden = utils.apply_masks(features, targets)
            hidden = utils.repeat_interleave_batch(hidden, len(images), repeat=1)
        return criterion(predicted, hidden)

    return loss, lambda: move(0.996), nn.ModuleList([backbone, predictor])


def lightly_simclr(own: Method) -> Step:
    """Contrast of two views."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead
    from torch import nn

    params: Any = own.params
    backbone = _vit(own)
    head = SimCLRProjectionHead(own.config.encoder.embed_dim, params.hidden_dim, params.output_dim)
    model, criterion = nn.Sequential(backbone, head), NTXentLoss(params.temperature)
    return lambda first, second: criterion(model(first), model(second)), lambda: None, model


def lightly_moco(own: Method) -> Step:
    """Contrast of queries with the keys of a teacher; heads of the third version."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import MoCoProjectionHead
    from torch import nn

    params, width = own.params, own.config.encoder.embed_dim
    hidden, out = params.hidden_dim, params.output_dim
    embed = nn.Sequential(
        _vit(own), MoCoProjectionHead(width, hidden, out, num_layers=3, batch_norm=True)
    )
    head = MoCoProjectionHead(out, hidden, out, num_layers=2, batch_norm=True)
    (teacher,), move = _follow(embed)
    criterion = NTXentLoss(params.temperature)

    def loss(first: Tensor, second: Tensor) -> Tensor:
        queries = [head(embed(view)) for view in (first, second)]
        with torch.no_grad():
            keys = [teacher(view) for view in (first, second)]
        return 0.5 * (criterion(queries[0], keys[1]) + criterion(queries[1], keys[0]))

    return loss, lambda: move(0.99), nn.ModuleList([embed, head])


def _dino_parts(own: Method) -> tuple[Any, Any, Any, Callable[[float], None], list[Any]]:
    """Backbone, head, criterion, what moves the teachers, and these."""
    import warnings

    from lightly.loss import DINOLoss
    from lightly.models.modules import DINOProjectionHead

    params: Any = own.params
    backbone = _vit(own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        head, other = (
            DINOProjectionHead(
                own.config.encoder.embed_dim,
                params.hidden_dim,
                params.bottleneck_dim,
                params.prototypes,
                batch_norm=params.batch_norm,
                freeze_last_layer=params.freeze_last_layer_epochs,
            )
            for _ in range(2)
        )
    from lightly.models.utils import deactivate_requires_grad, update_momentum

    (teacher,), move = _follow(backbone)
    deactivate_requires_grad(other)  # weights that are normalised cannot be copied

    def move_both(momentum: float) -> None:
        move(momentum)
        update_momentum(head, other, m=momentum)

    criterion = DINOLoss(params.prototypes, student_temp=params.student_temperature)
    return backbone, head, criterion, move_both, [teacher, other]


def _windows(own: Method, views: tuple[Tensor, ...]) -> list[Tensor]:
    """Crops of as many patches as our windows have."""
    params: Any = own.params
    encoder = own.config.encoder
    side = round(params.local_side * own.encoder.grid) * encoder.patch_size
    return [view[..., :side, :side] for view in views]


def lightly_dino(own: Method) -> Step:
    """Self-distillation; the student sees small crops too, one pass a view."""
    import torch
    from torch import nn

    backbone, head, criterion, move, (teacher, teacher_head) = _dino_parts(own)

    def loss(*views: Tensor) -> Tensor:
        with torch.no_grad():
            taught = [teacher_head(teacher(view)) for view in views[:2]]
        learnt = [head(backbone(view)) for view in (*views[:2], *_windows(own, views[2:]))]
        return criterion(taught, learnt, teacher_temp=0.04)

    return loss, lambda: move(0.99), nn.ModuleList([backbone, head])


def lightly_ibot(own: Method) -> Step:
    """DINO, and the same of hidden patches."""
    import torch
    from lightly.loss import IBOTPatchLoss
    from lightly.models.utils import random_block_mask
    from torch import nn

    backbone, head, criterion, move, (teacher, teacher_head) = _dino_parts(own)
    patch_criterion = IBOTPatchLoss(own.params.prototypes)

    def loss(*views: Tensor) -> Tensor:
        whole, local = torch.cat(views[:2]), torch.cat(_windows(own, views[2:]))
        height, width = backbone.vit.patch_embed.grid_size
        mask = whole.new_zeros((len(whole), backbone.sequence_length), dtype=torch.bool)
        block = random_block_mask(size=(len(whole), height, width), device=whole.device)
        mask[:, 1:] = block.flatten(start_dim=1)
        with torch.no_grad():
            features = teacher.encode(whole)
            taught, taught_patches = teacher_head(features[:, 0]), teacher_head(features[mask])
        features = backbone.encode(whole, mask=mask)
        learnt = torch.cat([head(features[:, 0]), head(backbone.encode(local)[:, 0])])
        image = criterion(taught.chunk(2), learnt.chunk(len(views)), teacher_temp=0.04)
        learnt_patches = head(features[mask])
        patch = patch_criterion(taught_patches, learnt_patches, mask=block, teacher_temp=0.04)
        return image + patch

    return loss, lambda: move(0.992), nn.ModuleList([backbone, head])


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
