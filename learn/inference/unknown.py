"""Limits of a network: questions about an image that it cannot answer."""

from __future__ import annotations

from learn.inference.model import Model
from lensphys.ground.names import markdown_text

#: What holds for all networks, and for those of a task, by its name.
_ALWAYS = (
    "the PSF and the noise of an image of yours: unless they are given, it takes those of its "
    "training, and a PSF that differs looks like substructure"
)
_UNKNOWN = {
    "classify": "the dark matter of a real lens: it chooses among {classes}, as they were "
    "simulated, in equal shares, and a perturbation too small for the noise leaves it undecided",
    "find": "the rate of lenses among your images: its probability holds for the share of lenses "
    "in its training",
    "regress": "systematic errors: its uncertainties cover the noise and the priors of its "
    "training, and a lens outside of these is drawn towards them",
    "superres": "detail that the PSF has erased: what it adds is likely for sources like those of "
    "its training, and no measurement",
}


def list_unknown(model: Model) -> list[str]:
    """List what a network cannot know, a part of a sentence each."""
    classes = ", ".join(markdown_text(name) for name in model.label_names)
    of_task = _UNKNOWN.get(model.task.config.task)
    return [_ALWAYS] + ([] if of_task is None else [of_task.format(classes=classes)])
