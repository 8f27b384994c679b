"""The configuration of a tier, and the refusals of a wrong one."""

import shlex
from pathlib import Path

import pytest

import cli
from tests.learn.compare.conftest import tier


def test_small_budgets_get_more_epochs() -> None:
    section = tier("full").finetune
    assert section.epochs_of(100, 64) == 200
    assert section.epochs_of("all", 64) == section.epochs == 20


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--tier smal", "unknown tier 'smal' (did you mean 'small'?)"),
        ("--tier smoke --only mea", "unknown method 'mea' (did you mean 'mae'?)"),
        ("--tier smoke --presets publishd", "(did you mean 'published'?)"),
        ("--tier smoke --presets physical --only mae:plan", "no cell of this tier"),
        ("--tier smoke --seeds -1", "--seeds takes numbers from 0"),
        ("--tier smoke --seeds a", "--seeds takes numbers from 0"),
        ("--tier smoke --set methods.mea={}", "unknown method 'mea' (did you mean 'mae'?)"),
        ("--tier smoke --set baselines.scrach={}", "unknown baseline 'scrach' (did you mean"),
        ("--tier smoke --set baselines.radial.seed=1", "radial is measured by a probe, which"),
        ("--tier smoke --set ablations.methods.mae={}", "needs a name of its own, as mae:no-guard"),
        ("--tier smoke --set ablations.methods.dino:x={}", "unknown row to take a part from"),
        ("--tier smoke --set finetune.full.labels_per_class=[22]", "too few for a budget of 22"),
        (
            "--tier smoke --set 'finetune.smaller=[{presets: [physical], models: [1], images: 30, "
            "labels_per_class: [9]}]'",
            "30 images leave 7 labels a class for training, too few for a budget of 9",
        ),
        ("--tier smoke --set finetune.full.labels_per_class=[0]", "labels a class from 1"),
        ("--tier smoke --set finetune.full.labels_per_class=[5,5]", "name each value once"),
        ("--tier smoke --set 'methods={\"mae:../x\": {}}'", "no name of a row"),
        ("--tier smoke --set 'methods={\"mae:a|b\": {}}'", "no name of a row"),
        ("--tier smoke --set finetune_data_seed=0", "must differ"),
        ("--tier smoke --set finetune.wider.rows=[radial]", "unknown row that is trained whole"),
        ("--tier smoke --set pretrain.vews=3", "(did you mean 'views'?)"),
        ("--tier smoke --set methods.mae.params.mask_ration=0.5", "(did you mean 'mask_ratio'?)"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", *shlex.split(line)])
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []
