"""The model card of an encoder that ships."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from learn.inference.loaded_encoder import LoadedEncoder
from learn.weights.shipped import DEFAULT
from lensphys.ground.names import markdown_text

#: Names in words of the measures that a monitor has left.
_MEASURES = {"linear_probe": "accuracy of a linear probe", "knn": "accuracy of nearest neighbours"}


def encoder_card(encoder: LoadedEncoder, about: dict[str, Any]) -> str:
    """``README.md`` of an encoder: what it is, what it was trained on, its use and its limits.

    Args:
        encoder: with the form of its training images.
        about: the content of its ``encoder.json``.
    """
    attrs = encoder.data.attrs
    facts = {
        "pretrained by": about["method"],
        "parameters": f"{about['parameters']:,}",
        "features of an image": encoder.width,
        "sees": "images and their lens fits" if encoder.sees_lens_fits else "images alone",
        "images": about.get("images"),
        "epochs": about.get("epochs"),
        "model": attrs.get("model"),
        "preset": attrs.get("preset"),
        "instrument": attrs.get("instrument"),
        "size": f"{encoder.size} x {encoder.size} pixels",
        "pixel scale": f"{encoder.pixel_scale:.4g} arcsec",
        "unit of flux": encoder.unit,
    }
    lines = [
        "---",
        "library_name: lensphys",
        "tags: [gravitational-lensing, encoder]",
        "---",
        "",
        "# Encoder of strong gravitational lenses",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {markdown_text(value)} |" for key, value in facts.items() if value),
        *(f"| {name} | {value:.3f} |" for name, value in _monitored(about)),
        "",
        "No label was used in its training; those of the probes come from held-out images.",
        "",
        "## Use",
        "",
        "```python",
        "from learn import load_encoder",
        f'encoder = load_encoder("{DEFAULT}")',
        f"features = encoder.features(images)  # of (B, {encoder.size}, {encoder.size}) fluxes",
        "```",
        "",
        f"or `python cli.py embed {DEFAULT} cutouts/*.fits`; `python cli.py finetune --task "
        f"classify --encoder {DEFAULT}` starts from it.",
        "",
        "## Limits",
        "",
        "- It has seen simulated images of one kind only (the table above). Nothing is said here "
        "of other instruments, noise, or lenses.",
        f"- Fluxes must be on pixels of {encoder.pixel_scale:.4g} arcsec and in the unit "
        f"'{markdown_text(encoder.unit)}'. `embed` resamples files, but leaves PSF and noise as "
        "they are.",
    ]
    return "\n".join(lines) + "\n"


def _monitored(about: dict[str, Any]) -> Iterator[tuple[str, float]]:
    watched = about.get("monitor") or {}
    for key, name in _MEASURES.items():
        if isinstance(watched.get(key), float | int):
            yield name, watched[key]
