"""The mutants of ``python -m tests.mutation`` are what its page says, and take effect for whoever has the function."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mutmut")

from tests.mutation.__main__ import PAGE, paths
from tests.mutation.mutants import Mutant, mutants_of

CODE = """
from functools import lru_cache

MOST = 9

@lru_cache
def less(number: int, most: int = 8) -> int:
    if number < most:
        return number
    raise TypeError(
        "There is no less.",
    )
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def less(path: Path) -> Callable[..., Any]:
    """The function, imported before it is changed."""
    spec = importlib.util.spec_from_file_location("module", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.less


def find(path: Path, after: str) -> Mutant:
    return next(mutant for mutant in mutants_of(path) if mutant.after == after)


def test_only_what_is_in_functions_is_changed_decorated_or_not(path: Path) -> None:
    assert {mutant.function for mutant in mutants_of(path)} == {"less"}
    assert str(find(path, "if number <= most:")).endswith("less`: `if number < most:` → `if number <= most:`")


def test_the_wording_of_a_message_is_told_from_its_absence(path: Path) -> None:
    assert {mutant.after for mutant in mutants_of(path) if mutant.is_wording} == {
        '"XXThere is no less.XX",',
        '"there is no less.",',
        '"THERE IS NO LESS.",',
    }
    assert not find(path, "None,").is_wording


def test_the_lines_are_those_of_the_statement_without_its_block_or_of_the_whole_function(path: Path) -> None:
    assert find(path, "if number <= most:").lines == range(8, 9)
    assert find(path, "None,").lines == range(10, 13)
    assert find(path, "def less(number: int, most: int = 9) -> int:").lines == range(8, 13)


def test_a_mutant_takes_effect_wherever_the_function_is(path: Path, less: Callable[..., Any]) -> None:
    find(path, "if number <= most:").take_effect()
    assert less(8) == 8


def test_so_does_one_of_a_default(path: Path, less: Callable[..., Any]) -> None:
    find(path, "def less(number: int, most: int = 9) -> int:").take_effect()
    assert less(8) == 8


def test_each_mutant_that_the_page_lists_can_still_be_made() -> None:
    listed = {line for line in PAGE.read_text().splitlines() if line.startswith("- `") and " → " in line}
    assert listed - {f"- {mutant}" for path in paths() for mutant in mutants_of(path)} == set()
