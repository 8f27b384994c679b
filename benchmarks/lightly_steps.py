"""Training steps of the pretraining methods, made of the public components of lightly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learn.methods.base import Method

#: A function that returns the loss of views, one that moves the teachers, and the network.
Step = tuple[Callable[..., "Tensor"], Callable[[], None], "nn.Module"]


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
