"""AdamW with linear warm-up and cosine decay, stepped every batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from learn.config import OptimizerConfig, TrainingConfig

_BETAS = (0.9, 0.95)  # the usual choice for masked and joint-embedding transformers


def adamw_with_cosine(
    module: nn.Module,
    config: OptimizerConfig,
    total_steps: int,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> tuple[list[Optimizer], list[dict[str, Any]]]:
    """Optimiser and schedule of a module, as Lightning takes them.

    Weight decay is left off vectors: biases, norms and mask tokens.

    Args:
        module: its parameters that need gradients are trained.
        config: rates, weight decay and warm-up.
        total_steps: length of the schedule.
        rates: name of a part of the module to its learning rate, over that of the others.
    """
    # Not timm's groups, whose other order rounds the weights anew, nor its schedule, which
    # Lightning cannot step; lightly's schedule ends a step sooner.
    groups: list[dict[str, Any]] = []
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    for part, rate in {"": 1.0, **rates}.items():
        own = [p for name, p in trained.items() if _part_of(name, rates) == part]
        lr = rate * config.lr
        groups += [
            {"params": [p for p in own if p.squeeze().ndim > 1], "lr": lr},
            {"params": [p for p in own if p.squeeze().ndim <= 1], "lr": lr, "weight_decay": 0.0},
        ]
    optimizer = AdamW(
        groups, lr=config.lr, weight_decay=config.weight_decay, betas=_BETAS, fused=True
    )
    warmup = max(1, round(total_steps * config.warmup_epochs / config.epochs))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, total_steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    schedule = {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
    return [optimizer], [schedule]


def _part_of(name: str, parts: Iterable[str]) -> str:
    """The part of a module that a parameter belongs to; empty: none of those named."""
    return next((part for part in parts if name.startswith(f"{part}.")), "")


class Trained(pl.LightningModule):
    """A module trained with :func:`adamw_with_cosine`, in as many steps as the schedule is long."""

    config: TrainingConfig
    total_steps: int

    def configure_optimizers(self) -> tuple[list[Optimizer], list[dict[str, Any]]]:
        return adamw_with_cosine(self, self.config.optimizer, self.total_steps, self.rates())

    def rates(self) -> dict[str, float]:
        """Name of a part to its learning rate, over that of the others; all are alike here."""
        return {}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning's own refuses a fused optimiser in mixed precision, as it could be one that
        # takes scales off its gradients itself. Those of bfloat16 have none.
        if gradient_clip_val:
            clip_grad_norm_(self.parameters(), gradient_clip_val)
