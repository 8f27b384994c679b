"""The folders of the weights that ship with the package.

``encoder`` holds the encoder; each other folder holds a network, by default that of the task of its
name. They have the form of a run without its training files. This file imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from learn.run_files import DESCRIPTION, MODEL
from lensphys.ground.config import suggestion
from lensphys.ground.errors import InputError
from lensphys.ground.program import program

#: The name under which commands and functions take what ships.
DEFAULT = "default"
#: The folder of all weights, that of the encoder in it, and the network that serves where none is
#: asked for.
FOLDER = Path(__file__).parent
ENCODER, FIRST = "encoder", "classify"


def list_networks() -> list[str]:
    """Return the names of the networks that ship; none where no weights do."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{MODEL}"))


def run_names() -> list[str]:
    """Return what the help shows in the place of a run: RUN, and ``default`` where weights ship."""
    return ["RUN", DEFAULT] if list_networks() else ["RUN"]


def or_default() -> list[str]:
    """Return what the help adds to the meaning of RUN where weights ship."""
    return [f", or {DEFAULT}: what ships with the package"] if list_networks() else []


def and_default() -> list[str]:
    """Return what the help adds to the choice of an encoder where weights ship."""
    return [f"; {DEFAULT}: what ships with the package"] if list_networks() else []


def choice_of_default() -> list[str]:
    """Return the help of the option that chooses a network where weights ship."""
    known = list_networks()
    return [f"With default: {' or '.join(known)}. Default: {FIRST}."] if known else []


def find_run(run: str | Path, network: str | None = None) -> Path:
    """Return the folder of a fine-tuning run.

    Args:
        run: a folder, or ``default`` for a network that ships.
        network: which of those; None: the classifier.

    Raises:
        InputError: for a network that does not ship, or one beside the folder of a run.
    """
    if run == DEFAULT:
        return find_network(network)
    if network is not None:
        raise InputError(
            f"--task {network} chooses one of the networks that ship: `{program()} predict "
            f"{DEFAULT} --task {network}`; the task of {run} is known"
        )
    return Path(run)


def find_network(name: str | None = None) -> Path:
    """Return the folder of a network that ships.

    Args:
        name: of the network; None: the classifier.

    Raises:
        InputError: if there is none of this name, with the commands that train one.
    """
    known = list_networks()
    if not known:
        raise _none_ships()
    name = name or FIRST
    if name not in known:
        raise InputError(
            f"no network '{name}' ships{suggestion(name, known)}; there are {', '.join(known)}"
        )
    return FOLDER / name


def find_encoder() -> Path:
    """Return the folder of the encoder that ships.

    Raises:
        InputError: if there is none, with the commands that train one.
    """
    folder = FOLDER / ENCODER
    if not (folder / DESCRIPTION).is_file():
        raise _none_ships()
    return folder


def _none_ships() -> InputError:
    return InputError(
        f"no weights ship with this version; train an encoder with `{program()} pretrain --method "
        f"physics-ijepa`, then a network with `{program()} finetune --task {FIRST}`, and give the "
        f"folder of the run in the place of {DEFAULT}"
    )
