"""The mutants of ``python -m tests.mutation`` are what its page says, and take effect for whoever has the function."""

import importlib.util
import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mutmut")

from tests.mutation.__main__ import PAGE, Report, paths
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


@pytest.fixture(scope="module")
def of_the_library() -> dict[Path, list[Mutant]]:
    return {path: list(mutants_of(path)) for path in paths()}


def test_each_mutant_that_the_page_lists_can_still_be_made(of_the_library: dict[Path, list[Mutant]]) -> None:
    listed = {line for line in PAGE.read_text().splitlines() if line.startswith("- `") and " → " in line}
    assert listed - {f"- {mutant}" for mutants in of_the_library.values() for mutant in mutants} == set()


def test_the_page_counts_the_mutants_that_there_are(of_the_library: dict[Path, list[Mutant]]) -> None:
    """Those that it lists survive, and no others: else there are some that nobody has run."""
    text = PAGE.read_text()
    told = [
        f"| {' | '.join(row)} |"
        for row in re.findall(r"^\| (`multidb/.+?`|all) " + r"\| (\d+) " * 4 + r"\|$", text, re.M)
    ]
    report = Report(is_verbose=False)
    for mutant in chain.from_iterable(of_the_library.values()):
        report.count(mutant, "wording" if mutant.is_wording else "listed" if str(mutant) in text else "killed")
    # Its column of survivors is empty.
    there = re.sub(r"^(\| \S+ \| \d+ \| \d+ \| )0 \| ", r"\1", str(report), flags=re.M).splitlines()[2:]
    assert told == there, "\n".join(there)
