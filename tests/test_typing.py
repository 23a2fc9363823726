"""Each public name is used in ``tests/typing``, where type checkers read what a project does with it."""

import ast
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import multidb
from tests.blocks import ROOT
from tests.test_coming_from import names, part, rows

# Of autodoc: what it is about, and its options.
DIRECTIVE = re.compile(r"^\.\. (auto\w+|data|currentmodule):: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)
OPTION = re.compile(r":([\w-]+):(.*)")


def test_each_name_in_the_reference_is_used() -> None:
    pages = [path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md")]
    public = {name for page in pages for name in in_reference(page)}
    public |= {f"multidb.{name}" for name in multidb.__all__}
    assert len(public) > 60
    assert sorted(public - used()) == []


@pytest.mark.parametrize("title", ["What stays", "Old names"])
def test_each_name_that_the_predecessor_had_is_used(title: str) -> None:
    """But for methods of what is used."""
    public = {name for first, _ in rows(part(title)) for name in names(first) if re.search(r"^multidb\b.*\.", name)}
    assert len(public) > 9
    missing = {name for name in public - used() if not isinstance(pkgutil.resolve_name(name.rpartition(".")[0]), type)}
    assert sorted(missing) == []


def in_reference(page: str) -> Iterator[str]:
    """The names that autodoc is told to document on ``page``."""
    inside = ""
    for kind, name, said in DIRECTIVE.findall(page):
        options = {key: value.strip() for key, value in OPTION.findall(said)}
        if kind == "currentmodule":
            inside = name
        elif kind == "automodule":
            yield name
            yield from (f"{name}.{each}" for each in members(name, options))
        else:
            yield name if name.startswith(("multidb.", "pytest_multidb.")) else f"{inside}.{name}"


def members(module: str, options: dict[str, str]) -> set[str]:
    """Those of ``module`` that its ``automodule`` with ``options`` shows."""
    if "no-members" in options:
        return set()
    if options.get("members"):
        return listed(options["members"])
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text()).body
    found = set(documented(body))
    if "imported-members" in options:
        found |= {each.name for node in body if isinstance(node, ast.ImportFrom) for each in node.names}
    return {name for name in found if not name.startswith("_")} - listed(options.get("exclude-members", ""))


def listed(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def documented(body: list[ast.stmt]) -> Iterator[str]:
    """What is defined in ``body`` with a docstring, which of a value is the text after it."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield from (each.id for each in node.targets if isinstance(each, ast.Name))


def used() -> set[str]:
    """The dotted names that the files in ``tests/typing`` import, or reach by a module that they import."""
    found: set[str] = set()
    for path in (ROOT / "tests" / "typing").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = dict(pair for node in nodes for pair in imports(node))
        found |= set(imported.values()) | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        found |= {
            f"{imported[node.value.id]}.{node.attr}"
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported
        }
    return found


def imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that ``node`` imports, each with the dotted name of what it is."""
    if isinstance(node, ast.Import):
        yield from ((each.asname or each.name, each.name) for each in node.names)
    if isinstance(node, ast.ImportFrom):
        yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)
