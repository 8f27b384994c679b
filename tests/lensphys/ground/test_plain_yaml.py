"""YAML of configurations: plain values, or one line with the number of the line."""

import pytest
import yaml

from lensphys.ground.config import config_files
from lensphys.ground.plain_yaml import PlainYamlError, load_yaml

LAUGHS = "a0: &a0 [1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"line 3: the key 'a' is there already, in line 1"),
        ("a:\n  b: 1\n  b: 1", r"line 3: the key 'b' is there already, in line 2"),
        ("{a: 1, 'a': 2}", "the key 'a' is there already"),
        ("a: !!int x", "line 1: 'x' is no whole number"),
        ("a: !!bool maybe", "'maybe' is no true or false"),
        ("a: !!float x", "'x' is no number"),
        ("a: " + "9" * 5000, "is no whole number"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: " + "[" * 100 + "]" * 100, "nested too deeply"),
        ("a: " + "{a: " * 100 + "1" + "}" * 100, "nested too deeply"),
        ("a: &a [*a]", "an alias is part of what it stands for"),
        ("a: &a {b: *a}", "an alias is part of what it stands for"),
        ("a: *b", "undefined alias"),
        (LAUGHS, "more than 100,000 values"),
        ("a: !!python/object/apply:os.getcwd []", "the tag '!!python/object/apply:os.getcwd'"),
        ("a: !!python/name:os.system", "is not one of plain values"),
        ("a: !!binary aGFsbG8=", "'!!binary' is not one of plain values"),
        ("a: !!set {b}", "is not one of plain values"),
        ("a: !!timestamp 2020-01-01", "is not one of plain values"),
        ("a: !mine x", "the tag '!mine'"),
        ("a: =", "is not one of plain values"),
        ("1: a", "line 1: the key '1' is no name; put it in quotes"),
        ("x: 1\nno: a", "line 2: the key 'no' is no name"),
        ("? [a, b]\n: 1", "is no name"),
        ("a: 1\n\tb: 2", "line 2: "),
        ("a: b: c", "line 1: .*mapping values are not allowed"),
        ("a: \0", "special characters are not allowed"),
        ('a: "\\0"', "has a character that is no text"),
        ('a: "\\ud800"', "has a character that is no text"),
        ("a: 1\n---\na: 2", "expected a single document"),
        ("a: [", "line 1: "),
        ("<<: 5", "expected a mapping"),
        ("a: '\x1b]0;pwned\x07'", "special characters are not allowed"),
    ],
)  # fmt: skip
def test_what_is_no_plain_value_is_refused_in_a_line(text, message):
    with pytest.raises(PlainYamlError, match=message) as caught:
        load_yaml(text)
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("2020-99-99", "2020-99-99"),
        ("2020-01-01", "2020-01-01"),
        ("a: [1, 2.5, true, null, no_sub, 1.0e+3]", {"a": [1, 2.5, True, None, "no_sub", 1000.0]}),
        ("a: &a {b: 1}\nc: {<<: *a, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ('a: "\\udcff"', {"a": "\udcff"}),
    ],
)
def test_plain_values_are_read(text, value):
    assert load_yaml(text) == value


def test_what_an_alias_repeats_is_changed_in_one_place():
    values = load_yaml("a: &a {b: [1]}\nc: *a")
    values["a"]["b"].append(2)
    assert values["c"] == {"b": [1]}


def test_shipped_configurations_are_read_as_before():
    kinds = ("simulate", "simulate/substructure", "pretrain", "finetune", "compare", "import")
    paths = [path for kind in kinds for path in config_files(kind).values()]
    assert len(paths) > 15
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert load_yaml(text) == yaml.safe_load(text)
