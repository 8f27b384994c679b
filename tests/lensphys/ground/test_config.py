"""Configurations are read from YAML files, shipped ones and those of an extension."""

from pathlib import Path

import pytest

from lensphys.ground import config
from lensphys.ground.config import (
    Strict,
    config_files,
    config_folder,
    load_config,
    read_config,
    read_yaml,
    shipped_config,
    suggestion,
)
from lensphys.ground.errors import InputError


class Example(Strict):
    seed: int


def error_of(path):
    with pytest.raises(InputError) as error:
        load_config(Example, path)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "is not valid YAML"),
        (b"a: b: c", "is not valid YAML"),
        (b"\xff\xfe\xff", "is not valid YAML"),
        (b"- 1\n- 2", "must hold a mapping"),
        (b"", "must hold a mapping"),
        (b"seed", "must hold a mapping"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    assert f"{path} {message}" in error_of(path=path)


def test_a_file_cannot_run_code(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("model: !!python/object/apply:os.getcwd []")
    assert "is not valid YAML" in error_of(path=path)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot read the configuration"):
        read_yaml(tmp_path / name)


def test_a_shipped_configuration_is_found_by_name():
    path = shipped_config("pretrain", "mae", "method")
    assert path == config_folder("pretrain") / "mae.yaml"
    with pytest.raises(InputError, match=r"unknown method 'mea' \(did you mean 'mae'\?\)"):
        shipped_config("pretrain", "mea", "method")


def test_a_far_name_is_answered_with_all_known_ones():
    assert suggestion("zzz", ["b", "a"]) == "; known: a, b"


def test_a_folder_of_an_extension_is_searched_and_does_not_hide_what_is_shipped(
    tmp_path, monkeypatch
):
    (tmp_path / "pretrain").mkdir()
    for name in ("mae", "ours"):
        (tmp_path / "pretrain" / f"{name}.yaml").write_text("seed: 1")
    monkeypatch.setattr(config, "CONFIG_PATH", [tmp_path])
    assert shipped_config("pretrain", "ours", "method") == tmp_path / "pretrain" / "ours.yaml"
    assert config_files("pretrain")["mae"] == config_folder("pretrain") / "mae.yaml"


def test_a_file_is_read_and_changed_before_it_is_checked(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: {b: 1, c: 2}\nd: 3")
    values = read_config(path, ["a.b=4", "new.key=x"], {"a.c": 5}, d=None, e=6)
    assert values == {"a": {"b": 4, "c": 5}, "d": 3, "e": 6, "new": {"key": "x"}}


class Inner(Strict):
    """A section."""

    a: int
    b: int | None


class Outer(Strict):
    """A configuration."""

    n: int
    inner: Inner | None
    more: Inner


@pytest.fixture
def nested(tmp_path):
    """A file with a section, and one that is null."""
    path = tmp_path / "nested.yaml"
    path.write_text("{n: 1, inner: null, more: {a: 1, b: 2}}")
    return path


@pytest.mark.parametrize(
    "overrides",
    [
        {"more.a": 5, "inner.a": 3, "inner.b": None},
        {"more": {"a": 5}, "inner": {"a": 3, "b": None}},
        {"more": {"a": 5}, "inner.a": 3, "inner": {"b": None}},
    ],
)
def test_overrides_are_dotted_keys_or_sections_and_none_is_a_value(nested, overrides):
    config = load_config(Outer, nested, overrides=overrides)
    assert config == Outer(n=1, inner=Inner(a=3, b=None), more=Inner(a=5, b=2))


def test_a_section_can_be_switched_off_and_options_come_after_overrides(nested):
    config = load_config(Outer, nested, ["n=4"], {"inner": None, "n": 2}, n=3)
    assert (config.n, config.inner) == (4, None)
    assert load_config(Outer, nested, (), {"n": 2}, n=3).n == 3
    assert load_config(Outer, nested, (), {"n": 2}, n=None).n == 2


def test_an_unknown_key_among_overrides_is_answered_with_the_nearest(nested):
    with pytest.raises(InputError, match=r"unknown key 'more.aa' .did you mean 'a'"):
        load_config(Outer, nested, overrides={"more.aa": 1})


def test_files_are_described_by_the_comment_that_they_begin_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "finetune"
    folder.mkdir()
    (folder / "count.yaml").write_text("# images of a lens,\n# counted\ntask: count\n# more\n")
    (folder / "bare.yaml").write_text("task: bare\n")
    monkeypatch.setattr(config, "CONFIG_PATH", [tmp_path])
    described = config.describe_files("finetune")
    assert "count: images of a lens, counted." in described
    assert "bare." in described
    assert "classify: into the classes of the data set." in described


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed: 1\nseed: 2", "line 2: the key 'seed' is there already, in line 1"),
        (b"seed: 2020-13-45", "seed: Input should be a valid integer"),
        (b"a: 1\nb: \xff", "line 2: it is not UTF-8"),
        (b"seed: 1\n" + b"#" * 2**20, "is larger than 1,048,576 bytes; it is no configuration"),
        (b"seed: [" + b"1, " * 1000 + b"1]", "seed: Input should be a valid integer"),
    ],
)
def test_what_yaml_cannot_build_is_told_in_a_short_line(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    told = error_of(path=path)
    assert message in told
    assert len(told) < 400


@pytest.mark.parametrize(
    "value", ["2020-99-99", "!!int x", "9" * 5000, "[" * 3000, "{a: 1, a: 2}", "0x" + "f" * 5000]
)
def test_a_set_value_that_yaml_cannot_build_is_told_in_a_short_line(tmp_path, value):
    path = tmp_path / "example.yaml"
    path.write_text("seed: 1")
    with pytest.raises(InputError) as error:
        load_config(Example, path, [f"seed={value}"])
    assert "seed" in str(error.value)
    assert len(str(error.value)) < 400
