"""The presets, one file each: what may be drawn; and how a configuration of each is read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lensphys.ground.config import Strict
    from simulate.config import SimulateConfig
    from simulate.scenes import Prior

#: Name of each preset -> "module:object", one line a preset.
PRESETS = {
    "published": "simulate.presets.published:PUBLISHED",
    "physical": "simulate.presets.physical:PHYSICAL",
    "realistic": "simulate.presets.realistic:REALISTIC",
}


@dataclasses.dataclass(frozen=True)
class Preset:
    """A way to draw data sets.

    Its configurations are ``configs/simulate/model<number>-<preset>.yaml``.
    """

    schema: type[SimulateConfig]
    """schema of its configurations, without the sections of the classes"""
    prior: Callable[[Any], Prior]
    """draws the scenes of a configuration"""


def known_presets() -> tuple[str, ...]:
    """Names of all presets, in the order of the registry; nothing is imported for them."""
    return tuple(PRESETS)


def known_models(preset: str | None = None) -> tuple[int, ...]:
    """Numbers of the models that have a configuration in a preset; None: in any."""
    offered = _configurations()
    chosen = offered.values() if preset is None else [offered.get(preset, {})]
    return tuple(sorted({model for models in chosen for model in models}))


def list_models(preset: str = "published") -> str:
    """Numbers of the models of a preset in words: ``1, 2 or 3``."""
    *others, last = map(str, known_models(preset))
    return f"{', '.join(others)} or {last}" if others else last


def _configurations() -> dict[str, dict[int, Path]]:
    """The configuration of each model in each preset."""
    from lensphys.ground.config import config_files

    offered: dict[str, dict[int, Path]] = {}
    for stem, path in config_files("simulate").items():
        number, _, preset = stem.removeprefix("model").partition("-")
        if stem.startswith("model") and number.isdecimal():
            offered.setdefault(preset or "published", {})[int(number)] = path
    return offered


def load_simulate_config(
    model: int,
    preset: str = "published",
    sets: Iterable[str] = (),
    *,
    path: Path | None = None,
    **overrides: Any,
) -> SimulateConfig:
    """The configuration of a model in a preset, with ``a.b=c`` strings and overrides applied.

    A class without a section in the file has that of
    ``configs/simulate/substructure/<class>-<preset>.yaml``.

    Args:
        model: one of :func:`known_models`.
        preset: a key of :data:`PRESETS`.
        sets: ``a.b=c`` strings.
        path: a YAML file in place of the shipped one.
        overrides: keys at the top level; None: not given.

    Raises:
        InputError: for what is not offered, and as :func:`lensphys.ground.config.load_config`.
    """
    from lensphys.ground.config import read_config, read_yaml, validate
    from lensphys.ground.errors import InputError

    _check_options(preset, overrides)
    shipped = simulate_config_path(model, preset)
    path = path or shipped
    values = read_config(path, sets, **overrides)
    found = values.get("model"), values.get("preset")
    # Before the keys, which differ from preset to preset.
    if found[0] in known_models() and found[1] in PRESETS and found != (model, preset):
        raise InputError(
            f"{path} is for model {found[0]}, preset {found[1]}; give "
            f"--model {found[0]} --preset {found[1]}"
        )
    sections = _add_sections(values, preset, list(read_yaml(path)))
    config = validate(schema_with(preset, sections), values, str(path))
    if (config.model, config.preset) != (model, preset):
        raise InputError(
            f"{path} is for model {config.model}, preset {config.preset}; give "
            f"--model {config.model} --preset {config.preset}"
        )
    return config


def _check_options(preset: str, overrides: Mapping[str, Any]) -> None:
    """Refuse options that would change nothing in a preset."""
    from lensphys.ground.errors import InputError

    given = overrides.get("overrides") or {}
    if "lens_light.enabled" in given and preset in PRESETS and _preset(preset).schema.always_shines:
        raise InputError(
            f"--lens-light does not apply to preset {preset}, whose lenses shine; leave it out"
        )


def _add_sections(values: dict[str, Any], preset: str, in_file: list[str]) -> tuple[str, ...]:
    """Give each class the section that the file lacks; returns all classes with a section."""
    from lensphys.ground.config import config_files, merge, read_yaml
    from simulate.substructure import known_classes, substructure

    wanted = values.get("classes")
    wanted = wanted if isinstance(wanted, list | tuple) else ()  # refused where it is checked
    drawn_as = _preset(preset).schema.drawn_as
    sections = []
    for name in known_classes():
        if name in in_file:
            sections.append(name)
        elif name in wanted and not substructure(name).smooth:
            sections.append(name)
            default = config_files("simulate/substructure").get(f"{name}-{drawn_as}")
            if default is not None:
                section = read_yaml(default)
                given = values.get(name, {})
                merge(section, given if isinstance(given, Mapping) else {})
                values[name] = section
    return tuple(sections)


def schema_with(preset: str, sections: Iterable[str]) -> type[SimulateConfig]:
    """The schema of a preset's configurations that have a section for each of some classes.

    Raises:
        InputError: for an unknown preset, or a class that the preset does not have.
    """
    from simulate.substructure import substructure

    schema = _preset(preset).schema
    draws = {name: substructure(name).drawn_in(schema.drawn_as) for name in sections}
    return _extend(schema, tuple((name, draw.section) for name, draw in draws.items() if draw))


@functools.cache
def _extend(
    schema: type[SimulateConfig], sections: tuple[tuple[str, type[Strict]], ...]
) -> type[SimulateConfig]:
    from pydantic import create_model

    if not sections:
        return schema
    fields: dict[str, Any] = {name: (section, ...) for name, section in sections}
    return create_model(schema.__name__, __base__=schema, **fields)


def _preset(name: str) -> Preset:
    from lensphys.ground.registry import find

    found: Preset = find(PRESETS, name, "preset")
    return found


def simulate_config_path(model: int, preset: str) -> Path:
    """The configuration file of a model in a preset.

    Raises:
        InputError: for a model or preset that is not offered.
    """
    from lensphys.ground.errors import InputError
    from lensphys.ground.registry import unknown_name

    if preset not in PRESETS:
        raise InputError(unknown_name(preset, PRESETS, "preset"))
    offered = _configurations().get(preset, {})
    if model not in offered:
        known = ", ".join(str(number) for number in sorted(offered))
        raise InputError(f"unknown model {model}; preset '{preset}' has models {known}")
    return offered[model]


def make_prior(config: SimulateConfig) -> Prior:
    """The object that draws the scenes of a configuration.

    Raises:
        InputError: for a configuration that describes no lens.
    """
    return _preset(config.preset).prior(config)


def config_of(identity: dict[str, Any], **changes: Any) -> SimulateConfig:
    """The configuration that a data set was made from.

    Args:
        identity: the entry ``config`` of its manifest.
        changes: keys to replace.

    Raises:
        InputError: for a data set of another kind or version.
    """
    from lensphys.ground.config import validate
    from lensphys.ground.errors import InputError
    from simulate.substructure import known_classes

    preset = identity.get("preset")
    if preset not in PRESETS:
        raise InputError(f"the data set was not made by a preset of this program: {preset}")
    # Where galaxies were read from is not known; the data set keeps its own copy of them.
    kept = {k: v for k, v in identity["galaxies"].items() if k not in ("file", "sha256")}
    place = {"out": None, "workers": None, "scheduler": None, "galaxies": kept | {"path": None}}
    values = identity | place | changes
    values.pop("light_version", None)  # it describes the rendering, and is no setting
    schema = schema_with(preset, [name for name in known_classes() if name in values])
    return validate(schema, values, "the manifest of the data set")
