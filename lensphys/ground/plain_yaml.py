"""YAML of configurations: plain values in mappings and lists, and no surprises.

Keys stand once, dates are text, aliases neither turn back on themselves nor explode, and whatever
a file has in it ends in an error with the number of its line.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from lensphys.ground.names import plain_text, shorten

#: Values of a configuration, aliases counted where they are used; sections within sections.
_MOST, _DEEPEST = 100_000, 50
_STANDARD = "tag:yaml.org,2002:"
_MERGE, _TEXT = f"{_STANDARD}merge", f"{_STANDARD}str"
#: Kinds of values, in words.
_KINDS = {
    f"{_STANDARD}null": "null",
    f"{_STANDARD}bool": "true or false",
    f"{_STANDARD}int": "whole number",
    f"{_STANDARD}float": "number",
    _TEXT: "text",
    f"{_STANDARD}seq": "list",
    f"{_STANDARD}map": "mapping",
    _MERGE: "<<",
}
#: NUL, and halves of characters; bytes of a path that are no text are kept as other halves.
_NO_TEXT = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")


class PlainYamlError(ValueError):
    """Text that is no such YAML. The message is the reason, in less than a line."""


class _Loader(yaml.SafeLoader):
    """Makes plain values; a date is text, which the key that it is given to refuses by name."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class above
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int):
                str(value)  # one of too many digits, as from hexadecimal ones, cannot be shown
            return value
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            raise _refusal(
                node, f"{_shown(node.value)} is no {_KINDS.get(node.tag, node.tag)}"
            ) from None


def load_yaml(text: str) -> Any:
    """The value in a YAML text; None where it is empty.

    Raises:
        PlainYamlError: for text that is no YAML, or holds more than plain values.
    """
    loader = _Loader("")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, {}, [])
        return _unshared(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        parts = [part for part in (error.context, error.problem) if part]
        problem = " ".join(", ".join(parts).split())
        where = f"line {mark.line + 1}: " if mark else ""
        raise PlainYamlError(f"{where}{shorten(plain_text(problem), 200)}") from None
    except yaml.YAMLError as error:
        raise PlainYamlError(shorten(plain_text(" ".join(str(error).split())), 200)) from None
    except RecursionError:
        raise PlainYamlError("it is nested too deeply") from None
    finally:
        loader.dispose()


def _unshared(value: Any) -> Any:
    """A value in which nothing stands twice: a key that is changed later changes one place."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _check(node: yaml.Node, sizes: dict[int, int], above: list[int]) -> int:
    """The number of values below a node, aliases counted where they are used."""
    if id(node) in above:
        raise _refusal(node, "an alias is part of what it stands for")
    if id(node) in sizes:
        return sizes[id(node)]
    if node.tag not in _KINDS:
        tag = node.tag.replace(_STANDARD, "!!")
        raise _refusal(node, f"the tag {_shown(tag)} is not one of plain values")
    if len(above) > _DEEPEST:
        raise _refusal(node, "it is nested too deeply")
    below: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        below = [value for _, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        below = list(node.value)
    elif _NO_TEXT.search(node.value):
        raise _refusal(node, f"{_shown(node.value)} has a character that is no text")
    size = 1 + sum(_check(value, sizes, [*above, id(node)]) for value in below)
    if size > _MOST:
        raise _refusal(node, f"it holds more than {_MOST:,} values")
    sizes[id(node)] = size
    return size


def _check_keys(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == _MERGE:
            continue
        if key.tag != _TEXT:
            raise _refusal(key, f"the key {_shown(key.value)} is no name; put it in quotes")
        line = key.start_mark.line + 1
        if key.value in lines:
            raise _refusal(
                key, f"the key {_shown(key.value)} is there already, in line {lines[key.value]}"
            )
        lines[key.value] = line


def _refusal(node: yaml.Node, words: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=words, problem_mark=node.start_mark)


def _shown(value: Any) -> str:
    return f"'{shorten(plain_text(value), 60)}'" if isinstance(value, str) else "it"
