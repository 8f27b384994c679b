"""Commands that train, from the command line."""

import pytest


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pretrain --method mea", "unknown method 'mea' (did you mean 'mae'?)"),
        ("pretrain --method mae --set sed=1", "(did you mean 'seed'?)"),
        ("pretrain --method mae --set optimizer.epoch=1", "(did you mean 'epochs'?)"),
        ("pretrain --method mae", "make it with `python cli.py simulate --model 2"),
        ("pretrain --method mae --data d", "make it with `python cli.py simulate --model 2"),
        ("finetune --task clasify", "unknown task 'clasify' (did you mean 'classify'?)"),
        ("finetune --task classify --labels-per-class 0", "labels_per_class: "),
        ("finetune --task classify --encoder none", "`python cli.py simulate --model 3"),
        ("finetune --task superres --encoder none", "`python cli.py simulate --model 1 --pairs 2"),
        ("finetune --task classify --encoder none --data d", "`python cli.py simulate"),
        ("demo --set simulat=3", "(did you mean 'simulate'?)"),
        ("demo --set simulate=[{n:5}]", "a step of simulate lacks the key 'model'"),
    ],
)
def test_bad_input_is_answered_in_one_line(refused, line, message):
    assert message in refused(line)
