"""Every name that a docstring or comment refers to exists."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|exc):`~?([\w.]+)`")
FILES = sorted(
    path
    for package in ("lensphys", "simulate", "learn")
    for path in (ROOT / package).rglob("*.py")
    if ROLE.search(path.read_text(encoding="utf-8"))
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def walk(thing: object, names: list[str]) -> bool:
    """Tell if a chain of attributes exists; fields of a class count, with values or without."""
    for name in names:
        fields = {
            *getattr(thing, "__annotations__", {}),
            *getattr(thing, "__dataclass_fields__", {}),
            *getattr(thing, "model_fields", {}),
        }
        if not hasattr(thing, name) and name in fields:
            return True
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True


def imported(path: Path) -> dict[str, str]:
    """Return the names that a file imports, also those for type checkers alone, by full path."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {
        name.asname or name.name: f"{statement.module}.{name.name}"
        for statement in statements
        for name in statement.names
    }


def exists(target: str, module: object, names_of: dict[str, str]) -> bool:
    """Tell if a name exists in a module, in one of its classes, or by its full path."""
    first, _, rest = target.partition(".")
    if not first:  # `.name`: in the package of the module
        target = f"{module.__package__}.{rest}"
    elif first in names_of and exists(f"{names_of[first]}.{rest}".rstrip("."), module, {}):
        return True
    names = target.split(".")
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    if walk(module, names) or any(walk(kind, names) for kind in classes):
        return True
    for count in range(len(names), 0, -1):
        try:
            found = importlib.import_module(".".join(names[:count]))
        except ImportError:
            continue
        return walk(found, names[count:])
    return False


@pytest.mark.parametrize("path", FILES, ids=[module_name(path) for path in FILES])
def test_every_name_in_a_docstring_exists(path):
    module = importlib.import_module(module_name(path))
    text = path.read_text(encoding="utf-8")
    names = imported(path)
    missing = {
        target
        for target in set(ROLE.findall(text))
        if not exists(target, module, names) and f"self.{target} = " not in text
    }
    assert not missing
