"""The presets: what may be drawn, and how a configuration of each is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lensphys.ground.config import checked, config_folder, load_config, suggestion
from lensphys.ground.errors import InputError
from simulate.config import SimulateConfig
from simulate.presets.physical import PhysicalConfig, PhysicalPrior
from simulate.presets.published import PublishedConfig, PublishedPrior
from simulate.scenes import Prior


@dataclasses.dataclass(frozen=True)
class Preset:
    """The schema of a preset's configuration, and what draws its scenes."""

    schema: type[SimulateConfig]
    prior: Callable[[Any], Prior]


#: One line a preset.
PRESETS = {
    "published": Preset(PublishedConfig, PublishedPrior),
    "physical": Preset(PhysicalConfig, PhysicalPrior),
}


def load_simulate_config(
    model: int,
    preset: str = "published",
    sets: Iterable[str] = (),
    *,
    path: Path | None = None,
    **overrides: Any,
) -> SimulateConfig:
    """The configuration of a model in a preset, with ``a.b=c`` strings and overrides applied.

    Args:
        model: DeepLense Model 1, 2 or 3.
        preset: a key of :data:`PRESETS`.
        sets: ``a.b=c`` strings.
        path: a YAML file in place of the shipped one.
        overrides: keys at the top level; None: not given.

    Raises:
        InputError: for what is not offered, and as :func:`lensphys.ground.config.load_config`.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset '{preset}'{suggestion(preset, PRESETS)}")
    shipped = simulate_config_path(model, preset)
    path = path or shipped
    config = load_config(PRESETS[preset].schema, path, sets, **overrides)
    if (config.model, config.preset) != (model, preset):
        raise InputError(
            f"{path} is for model {config.model}, preset {config.preset}; give "
            f"--model {config.model} --preset {config.preset}"
        )
    return config


def simulate_config_path(model: int, preset: str) -> Path:
    """The shipped configuration of a model in a preset.

    Raises:
        InputError: for a model or preset that is not offered.
    """
    known: dict[str, set[str]] = {}
    for path in config_folder("simulate").glob("model*.yaml"):
        number, _, name = path.stem.removeprefix("model").partition("-")
        known.setdefault(name or "published", set()).add(number)
    if preset not in known:
        raise InputError(f"unknown preset '{preset}'{suggestion(preset, known)}")
    if str(model) not in known[preset]:
        offered = ", ".join(sorted(known[preset]))
        raise InputError(f"unknown model {model}; preset '{preset}' has models {offered}")
    name = f"model{model}" if preset == "published" else f"model{model}-{preset}"
    return config_folder("simulate") / f"{name}.yaml"


def make_prior(config: SimulateConfig) -> Prior:
    """What draws the scenes of a configuration.

    Raises:
        InputError: for a configuration that describes no lens.
    """
    return PRESETS[config.preset].prior(config)


def config_of(identity: dict[str, Any], **changes: Any) -> SimulateConfig:
    """The configuration that a data set was made from.

    Args:
        identity: the entry ``config`` of its manifest.
        changes: keys to replace.

    Raises:
        InputError: for a data set of another kind or version.
    """
    preset = identity.get("preset")
    if preset not in PRESETS:
        raise InputError(f"the data set was not made by a preset of this program: {preset}")
    # Where galaxies were read from is not known; the data set keeps its own copy of them.
    kept = {k: v for k, v in identity["galaxies"].items() if k not in ("file", "sha256")}
    place = {"out": None, "workers": None, "scheduler": None, "galaxies": kept | {"path": None}}
    values = identity | place | changes
    return checked(PRESETS[preset].schema, values, "the manifest of the data set")
