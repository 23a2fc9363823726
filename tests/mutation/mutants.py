"""Mutants: a module of the library, changed in one place, by the rules of mutmut."""

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import libcst
from libcst import matchers
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import create_mutations, deep_replace

# What a text with a space in it is for, where one of these is called with it.
TELLING = matchers.Name() | matchers.Attribute()
TELLERS = {
    "say_once",
    "complain",
    "warning",
    "Warning",
    "SettingError",
    "ImproperlyConfigured",
    "TypeError",
    "__init__",
}


@dataclass(frozen=True)
class Mutant:
    """``before`` became ``after`` in ``function`` of the module ``path``, whose whole text then is ``source``.

    ``lines`` are those of the statement that is changed. ``is_wording``: only the words of a message are.
    """

    path: Path
    function: str
    lines: range
    before: str
    after: str
    source: str
    is_wording: bool

    @property
    def module(self) -> str:
        return ".".join(self.path.with_suffix("").parts)

    def __str__(self) -> str:
        return f"`{self.module.removeprefix('multidb.')}.{self.function}`: `{self.before}` → `{self.after}`"

    def take_effect(self) -> None:
        """Change the function in this process, whoever has imported it, and under whatever decorators.

        Raises ``LookupError`` if nobody has.
        """
        module = ModuleType(self.module)
        exec(compile(self.source, self.path, "exec"), vars(module))
        mutant = attrgetter(self.function)(module)
        # Not isinstance(), which asks proxies what they stand for.
        functions = [each for each in gc.get_objects() if type(each) is FunctionType and self._is_of(each.__code__)]
        if not functions:
            raise LookupError(f"{self.function} of {self.path} has not been imported.")
        for function in functions:
            function.__code__ = mutant.__code__
            function.__defaults__, function.__kwdefaults__ = mutant.__defaults__, mutant.__kwdefaults__

    def _is_of(self, code: CodeType) -> bool:
        return code.co_qualname == self.function and Path(code.co_filename) == self.path.absolute()


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of the functions in the module ``path``."""
    # Without decorators: mutmut leaves a function alone that has one.
    module = libcst.parse_module(path.read_text()).visit(_Undecorated())
    lines, tree = module.code.splitlines(), ast.parse(module.code)
    module, mutations, *_ = create_mutations(str(path), module.code)
    positions = MetadataWrapper(module, unsafe_skip_copy=True).resolve(PositionProvider)
    functions = _functions(module)
    words = _words(module)
    for mutation in mutations:
        function = functions.get(mutation.contained_by_top_level_function)
        if function is None:
            continue
        source = deep_replace(module, mutation.original_node, mutation.mutated_node).code
        statement = _statement(tree, positions[mutation.original_node].start.line)
        before, after = _difference(lines, source.splitlines())
        yield Mutant(path, function, statement, before, after, source, mutation.original_node in words)


class _Undecorated(libcst.CSTTransformer):
    """Leaves an empty line for each decorator, so that the others keep their numbers."""

    def leave_FunctionDef(self, original_node: libcst.FunctionDef, updated_node: libcst.FunctionDef) -> Any:  # noqa: N802
        empty = [libcst.EmptyLine(indent=False) for _ in updated_node.decorators]
        return updated_node.with_changes(decorators=[], leading_lines=[*updated_node.leading_lines, *empty])


def _functions(module: libcst.Module) -> dict[libcst.CSTNode, str]:
    functions: dict[libcst.CSTNode, str] = {}
    for statement in module.body:
        if isinstance(statement, libcst.FunctionDef):
            functions[statement] = statement.name.value
        elif isinstance(statement, libcst.ClassDef):
            methods = [each for each in statement.body.body if isinstance(each, libcst.FunctionDef)]
            functions |= {method: f"{statement.name.value}.{method.name.value}" for method in methods}
    return functions


def _words(module: libcst.Module) -> set[libcst.CSTNode]:
    """The texts of which messages are made."""
    words: set[libcst.CSTNode] = set()
    for call in matchers.findall(module, matchers.Call(matchers.Name() | matchers.Attribute())):
        name = call.func.attr if isinstance(call.func, libcst.Attribute) else call.func
        if name.value in TELLERS:
            texts = matchers.findall(call, matchers.SimpleString())
            words |= {text for text in texts if " " in text.value}
    return words


def _statement(tree: ast.Module, line: int) -> range:
    """The lines of the statement that ``line`` is in, without those of its blocks; of a function, with them."""
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= line]
    innermost = max((node for node in statements if line <= node.end_lineno), key=lambda node: node.lineno)
    if isinstance(innermost, ast.FunctionDef | ast.AsyncFunctionDef):
        # Its own line is run when the module is, and its defaults show where it is called.
        return range(innermost.body[0].lineno, innermost.end_lineno + 1)
    blocks = getattr(innermost, "body", None)
    return range(innermost.lineno, blocks[0].lineno if blocks else innermost.end_lineno + 1)


def _difference(lines: list[str], changed: list[str]) -> tuple[str, str]:
    """The lines of each that are not the same in both."""
    begin = next(place for place, (line, other) in enumerate(zip(lines, changed, strict=False)) if line != other)
    end = next(
        place
        for place, (line, other) in enumerate(zip(reversed(lines), reversed(changed), strict=False))
        if line != other
    )
    end = min(end, len(lines) - begin, len(changed) - begin)
    before, after = lines[begin : len(lines) - end], changed[begin : len(changed) - end]
    return " ".join(map(str.strip, before)), " ".join(map(str.strip, after))
