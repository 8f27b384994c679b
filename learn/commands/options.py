"""Parts that commands share: options and their help, settings, bars and lines on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from lensphys.ground.names import plain_text
from lensphys.ground.program import program
from lensphys.ground.progress import show_images

if TYPE_CHECKING:
    from lensphys.ground.config import ConfigT
    from simulate.run import Progress


class _Names:
    """Names that a registry knows: in a text "a, b or c", or with another separator."""

    def __init__(self, known: Callable[[], Iterable[Any]]) -> None:
        self.known = known

    def __format__(self, separator: str) -> str:
        names = [str(name) for name in self.known()]
        if separator or len(names) < 2:
            return separator.join(names)
        return f"{', '.join(names[:-1])} or {names[-1]}"


def _known(place: str, *arguments: Any) -> _Names:
    """The names at "module:attribute", or those that a function there returns."""

    def find() -> Iterable[Any]:
        from lensphys.ground.registry import load

        found = load(place)
        names = found(*arguments) if callable(found) else found
        return [names] if isinstance(names, str) else names

    return _Names(find)


#: What stands in braces in a help text.
NAMES = {
    "methods": _known("learn.methods:METHODS"),
    "tasks": _known("learn.tasks:TASKS"),
    "described_tasks": _known("lensphys.ground.config:describe_files", "finetune"),
    "modes": _known("learn.config:MODES"),
    "tiers": _known("lensphys.ground.config:config_files", "compare"),
    "models": _known("simulate.presets:known_models"),
    "presets": _known("simulate.presets:known_presets"),
    "classes": _known("simulate.substructure:known_classes"),
    "backends": _known("simulate.backends:BACKENDS"),
    "masses": _known("learn.modelling.settings:MASSES"),
    "lens_lights": _known("learn.modelling.settings:LENS_LIGHTS"),
    "light_sources": _known("learn.modelling.settings:SOURCES"),
    "devices": _known("lensphys.ground.devices:DEVICES"),
    "runs": _known("learn.weights.shipped:run_names"),
    "or_default": _known("learn.weights.shipped:or_default"),
    "and_default": _known("learn.weights.shipped:and_default"),
    "choice_of_default": _known("learn.weights.shipped:choice_of_default"),
}


class _KnowsNames:
    """The help of a command, with names of the registries and of the program."""

    help: str | None
    params: list[Any]

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""  # it takes no value
        return params

    def fill_help(self) -> None:
        """Put in names of the registries and of the program."""
        self.help = (self.help or "").replace("python cli.py", program()).format_map(NAMES)
        for param in self.params:
            param.help = (param.help or "").format_map(NAMES)
            param.hidden = not param.help  # it chooses among what there is not
            param.metavar = param.metavar and param.metavar.format_map(NAMES)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.fill_help()
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(_KnowsNames, TyperCommand):
    """A command."""


class Group(_KnowsNames, TyperGroup):
    """All commands."""


def option(text: str, takes: str | None = None, **settings: Any) -> Any:
    """An option: its help, and what it takes."""
    return typer.Option(help=text, metavar=takes, **settings)


def flag(name: str, text: str, **settings: Any) -> Any:
    """An option that takes no value."""
    return typer.Option(name, help=text, **settings)


def one_of(names: str, text: str) -> Any:
    """An option that takes one of the names of a registry."""

    def parse(name: str) -> str:
        known = [str(each) for each in NAMES[names].known()]
        if name not in known:
            raise typer.BadParameter(f"'{name}' is not one of {', '.join(known)}")
        return name

    return option(text, f"{{{names}:|}}", parser=parse)


def several(text: str, takes: str = "A,B") -> Any:
    """An option that takes names with commas between them."""

    def parse(names: str) -> tuple[str, ...] | None:
        from lensphys.ground.config import split_names

        return split_names(names)

    return option(text, takes, parser=parse)


Config = Annotated[
    Path | None, option("A YAML file in place of the shipped one under configs/.", "FILE")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change any key of that file, SECTION.KEY=VALUE in a section. May be repeated.",
    ),
]
Seed = Annotated[int | None, option("Of all random numbers.", "N")]
Out = Annotated[Path | None, option("Folder to write to.", "DIR")]
Device = Annotated[
    str | None, one_of("devices", "Where to compute. Default: auto, a GPU if there is one.")
]
Devices = Annotated[int | None, option("Train on so many devices of each machine.", "N")]
Nodes = Annotated[int | None, option("Train on so many machines of a cluster.", "N")]
Overwrite = Annotated[
    bool, flag("--overwrite", "Replace files that this program has not made, but no inputs.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a fine-tuning run.")]
Data = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.")]


def make_settings(
    context: typer.Context,
    schema: type[ConfigT],
    command: str,
    name: str,
    kind: str,
    without: Iterable[str] = (),
) -> ConfigT:
    """The shipped configuration, or another in its place, with the keys that options fill.

    Args:
        context: holds the options.
        schema: of the configuration.
        command, name, kind: which is shipped; see :func:`lensphys.ground.config.shipped_config`.
        without: options that only look as if they filled a key.
    """
    from lensphys.ground.config import load_config, shipped_config

    default = shipped_config(command, name, kind)  # refuses unknown names whatever is in its place
    options = context.params
    keys = options.keys() & schema.model_fields.keys() - {*without, "config", "sets"}
    filled = {key: options[key] for key in keys}
    return load_config(schema, options["config"] or default, options["sets"] or (), **filled)


def show_bars(context: typer.Context, what: str = "simulate") -> Callable[[int, int], Progress]:
    """Start a bar over images in all and those already there, closed with the command."""
    return partial(show_images, context.call_on_close, what=what)


def say(line: str, err: bool = False) -> None:
    """Print a line, which may hold names of other people's data."""
    typer.echo(plain_text(line), err=err)


def print_written(folder: Path, made: bool) -> None:
    """Print the folder that a command has written, or found complete."""
    say(f"{'wrote' if made else 'already complete:'} {folder}")


def print_data_set(folder: Path, made: bool) -> None:
    """Print the folder of a data set, and its picture."""
    print_written(folder, made)
    say(f"picture: {folder / 'preview.png'}")
