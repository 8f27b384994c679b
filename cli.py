"""The front door: ``python cli.py --help``. Parses, loads the configuration, calls one function.

The signature of a function in ``learn/commands`` is its command. An option that bears the name of a
key of the configuration fills it. Names in braces in a help text are those that a registry knows.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any

# How threads wait is settled before torch is imported: spinning, they take the time of others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import typer

from learn.commands import data_sets, exploring, modelling, training, using
from learn.commands.options import Command, Group, flag, say
from lensphys.ground.program import program
from lensphys.ground.progress import write_note

#: The exit code of a shell for Ctrl-C; typer turns KeyboardInterrupt into it, without a word.
_INTERRUPTED = 130
#: The commands, in the order of the help.
_COMMANDS: dict[str, Callable[..., None]] = {
    "simulate": data_sets.simulate_command,
    "import": data_sets.import_command,
    "inspect": data_sets.inspect_command,
    "pretrain": training.pretrain_command,
    "finetune": training.finetune_command,
    "evaluate": using.evaluate_command,
    "predict": using.predict_command,
    "embed": using.embed_command,
    "model": modelling.model_command,
    "explore": exploring.explore_command,
    "export": using.export_command,
    "audit": data_sets.audit_command,
    "demo": training.demo_command,
    "compare": training.compare_command,
    "report": using.report_command,
}

app = typer.Typer(
    help="Simulate strong gravitational lenses, pretrain on them, fine-tune, and model real ones.",
    pretty_exceptions_enable=False,
    add_completion=program() == "lensphys",  # shells complete commands of one word
    rich_markup_mode="markdown",
    cls=Group,
)
for _name, _function in _COMMANDS.items():
    app.command(_name, cls=Command)(_function)


def _print_version(wanted: bool) -> None:
    if wanted:
        from lensphys import __version__

        typer.echo(f"lensphys {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    debug: Annotated[bool, flag("--debug", "Show the traceback of errors.")] = False,
    version: Annotated[
        bool, flag("--version", "Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Simulate strong gravitational lenses, pretrain on them, fine-tune, and model real ones."""


class _Notes(logging.Handler):
    """Shows what takes long, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        write_note(record.getMessage())


def _fail(message: str, code: int) -> None:
    """Print one line to standard error and exit."""
    say(" ".join(line.strip() for line in message.splitlines()), err=True)
    sys.exit(code)


def _explain(error: Exception) -> str | None:
    """The line on an error that a user can put right; None for any other."""
    from lensphys.ground.errors import InputError
    from lensphys.ground.files import advise_on_disk

    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        advice = advise_on_disk(error.errno)
        return (
            f"{error}; {advice} and run the same command again to go on" if advice else str(error)
        )
    # Torch has errors of its own for memory: of a GPU a class, else a message.
    if isinstance(error, MemoryError) or re.search(r"out of memory|t allocate memory", str(error)):
        return "there is not enough memory; take smaller batches, fewer images or a smaller network"
    return None


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of the user end in one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # its encoding may lack letters of a name
            stream.reconfigure(errors="backslashreplace")
    for package in ("lensphys", "simulate", "learn"):
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        if not any(isinstance(handler, _Notes) for handler in logger.handlers):
            logger.addHandler(_Notes())
    arguments = sys.argv[1:] if arguments is None else arguments
    run: Callable[..., Any] = app
    try:
        code = run(arguments or ["--help"], prog_name=program(), standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else program()
        _fail(f"error: {error.format_message()} (see `{command} --help`)", error.exit_code)
    except Exception as error:
        if "--debug" in arguments or not (line := _explain(error)):
            raise
        _fail(f"error: {line}", 2)
    if code == _INTERRUPTED:
        _fail("interrupted; run the same command again to go on where it stopped", code)
    sys.exit(code)


if __name__ == "__main__":
    main()
