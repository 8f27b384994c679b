"""Options of all commands."""

from typing import get_args

import typer

import cli
from learn.methods import METHODS
from learn.tasks import TASKS
from lensphys.ground.devices import DEVICES
from simulate.backends import BACKENDS
from simulate.config import SimulateConfig


def test_names_in_the_help_are_those_of_the_registries(call, monkeypatch):
    monkeypatch.setitem(METHODS, "toy", "nowhere:Toy")
    monkeypatch.setitem(TASKS, "guess", "nowhere:Guess")
    assert "physics-ijepa or toy." in call("pretrain --help")[1]
    assert "superres or guess." in call("finetune --help")[1]
    assert "1|2|3" in call("simulate --help")[1]
    assert "published|physical" in call("simulate --help")[1]
    assert "smoke" in call("compare --help")[1]


def test_names_of_options_are_those_of_the_configurations():
    assert get_args(SimulateConfig.model_fields["backend"].annotation) == BACKENDS
    assert get_args(SimulateConfig.model_fields["device"].annotation) == DEVICES


def test_every_option_of_a_command_has_a_help(call):
    group = typer.main.get_command(cli.app)
    for command in group.commands.values():
        command.fill_help()
        shown = [param.help for param in command.params if not param.hidden]
        assert all(text and "{" not in text for text in shown), command.name
