"""Each block of code in the README, CONTRIBUTING.md and the docs is run by a test, or says why it cannot be."""

import ast
import pkgutil
import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from multidb.checks import SETTINGS
from tests.blocks import ROOT, Block, blocks, pages
from tests.test_coming_from import GONE, PREDECESSOR
from tests.test_how_to import ACCEPTED

REFUSAL = "not run: "

# Which test runs which block: the page, the markers, and the function that asks for them.
RUN_BY = {
    **dict.fromkeys(
        [("CONTRIBUTING.md", marker) for marker in ("store", "contract", "run")],
        "test_contributing.py::test_the_store_of_the_page_does_what_every_store_does",
    ),
    ("CONTRIBUTING.md", "tests"): "test_contributing.py::test_what_each_line_runs_is_installed_before_it",
    ("README.md", "settings"): "test_readme.py::test_a_project_set_up_from_the_readme_works_with_each_store",
    ("README.md", "replayed"): "test_how_to.py::test_the_two_lines_for_postgresql_are_what_they_say",
    ("docs/board.md", "curl"): "test_example_project.py::test_the_curl_lines_of_the_docs_work_as_printed",
    ("docs/how-to/admin.md", "admin"): "test_how_to.py::test_a_list_of_the_admin_is_read_from_a_replica",
    ("docs/how-to/api-clients.md", "key"): "test_how_to.py::test_a_key_of_your_own_pins_clients_by_their_header",
    ("docs/how-to/api-clients.md", "settings of the key"): (
        "test_how_to.py::test_a_key_of_your_own_pins_clients_by_their_header"
    ),
    (
        "docs/how-to/several-primaries.md",
        "router",
    ): "test_how_to.py::test_a_model_is_read_from_replicas_of_its_primary",
    (
        "docs/how-to/several-primaries.md",
        "settings",
    ): "test_how_to.py::test_a_model_is_read_from_replicas_of_its_primary",
    ("docs/observing.md", "explain"): "test_docs.py::test_the_header_and_the_log_say_where_reads_went",
    ("docs/observing.md", "logging"): "test_docs.py::test_the_header_and_the_log_say_where_reads_went",
    ("docs/observing.md", "toolbar"): "test_docs.py::test_the_panel_shows_reads_in_the_toolbar",
    ("docs/observing.md", "prometheus"): "test_docs.py::test_the_exporter_and_the_signal_count",
    ("docs/observing.md", "view"): "test_docs.py::test_the_exporter_and_the_signal_count",
    ("docs/observing.md", "signal"): "test_docs.py::test_the_exporter_and_the_signal_count",
    ("docs/pins.md", "ignore"): "test_how_to.py::test_an_app_a_field_and_a_model_can_be_ignored",
    ("docs/rolling-out.md", "modes"): "test_how_to.py::test_each_mode_is_one",
    ("docs/rolling-out.md", "rollout"): "test_docs.py::test_a_function_decides_for_whom_reads_are_routed",
    ("docs/rolling-out.md", "view"): "test_docs.py::test_a_view_can_have_a_mode_of_its_own",
    ("docs/routing.md", "views"): "test_how_to.py::test_a_view_says_what_its_method_does_not",
    (
        "docs/security.md",
        "rights",
    ): "test_security.py::test_the_rights_that_the_page_names_are_all_that_the_store_needs",
    ("docs/security.md", "rights in a cluster"): (
        "test_security.py::test_the_rights_that_the_page_names_are_all_that_the_store_needs"
    ),
    ("docs/status.md", "command"): "test_how_to.py::test_the_status_can_be_asked_from_a_shell_and_from_python",
    ("docs/status.md", "json"): "test_how_to.py::test_the_status_can_be_asked_from_a_shell_and_from_python",
    ("docs/status.md", "snapshot"): "test_how_to.py::test_the_status_can_be_asked_from_a_shell_and_from_python",
    ("docs/stores.md", "missing packages"): (
        "test_slips.py::test_packages_for_redis_that_are_missing_are_named_where_the_page_says_so"
    ),
    ("docs/stores.md", "redis"): "test_readme.py::test_a_project_set_up_from_the_readme_works_with_each_store",
    ("docs/stores.md", "store"): "test_readme.py::test_the_store_that_is_written_in_the_docs_works",
    ("docs/tasks.md", "celery"): "test_how_to.py::test_the_modules_of_celery_find_each_other",
    ("docs/tasks.md", "celery package"): "test_how_to.py::test_the_modules_of_celery_find_each_other",
    ("docs/tasks.md", "celery task"): "test_how_to.py::test_the_modules_of_celery_find_each_other",
    ("docs/tasks.md", "queue"): "test_how_to.py::test_a_queue_in_a_table_is_read_from_the_primary",
    (
        "docs/third-parties.md",
        "fresh tokens",
    ): "test_how_to.py::test_what_is_printed_is_in_the_sites_of_the_tests",
    ("docs/third-parties.md", "ninja"): "test_how_to.py::test_what_is_printed_is_in_the_sites_of_the_tests",
    **dict.fromkeys(ACCEPTED, "test_how_to.py::test_settings_are_accepted_and_a_site_serves_with_them"),
    **dict.fromkeys(
        [
            ("docs/test-kit.md", f"notes/{name}.py")
            for name in ("test_reads", "test_pins", "test_lag", "test_with_fixtures")
        ],
        "test_pytest_plugin.py::test_the_examples_of_the_documentation_run_as_printed",
    ),
}

# Where each block is run in its turn.
RUN_WHOLE = {"docs/tutorial.md": "test_tutorial.py::test_it_ends_in_a_working_site_with_each_store"}


# Directives of Sphinx, which are part of the site and run when that is made; and what lines of the second may be.
DIRECTIVES = ("{toctree}", "{eval-rst}", "{include}")
IN_EVAL_RST = re.compile(
    r"\.\. (data|auto(class|data|exception|function|module)|currentmodule):: \S+|   :[a-z-]+:.*|   \w.*[^:]|"
)


def written() -> list[Block]:
    """All blocks but directives; also those of the changelog, which is included by a page."""
    found = chain.from_iterable(map(blocks, [*pages(), "CHANGELOG.md"]))
    return [each for each in found if each.language not in DIRECTIVES]


@pytest.mark.parametrize(
    "code",
    ["~~~python\n1\n~~~", "> ```python\n> 1\n> ```", "<pre>\n1\n</pre>", "````python\n1\n````", "- ```\n  1\n  ```"],
)
def test_code_in_a_form_that_is_not_read_is_an_error(code: str, tmp_path: Path) -> None:
    """Such as another fence, which no test would see."""
    (tmp_path / "page.md").write_text(f"Text.\n\n{code}\n")
    with pytest.raises(ValueError, match=r"page\.md:3: code in a form that is not read"):
        list(blocks(str(tmp_path / "page.md")))


def test_no_directive_holds_code() -> None:
    """Those of other names, such as ``{code-block}``, are blocks like any other."""
    found = [each for each in chain.from_iterable(map(blocks, pages())) if each.language == "{eval-rst}"]
    lines = [(each.page, line) for each in found for line in each.text.splitlines()]
    assert [(page, line) for page, line in lines if not IN_EVAL_RST.fullmatch(line)] == []


def test_each_block_is_run_or_says_why_it_cannot_be() -> None:
    others = [each for each in written() if each.page not in RUN_WHOLE and (each.page, each.marker) not in RUN_BY]
    unexplained = [each for each in others if not re.match(f"{REFUSAL}.+", each.marker)]
    assert [f"{each.page}:{each.line}" for each in unexplained] == []


def test_each_block_that_is_listed_is_there_once() -> None:
    found = [(each.page, each.marker) for each in written() if (each.page, each.marker) in RUN_BY]
    assert sorted(found) == sorted(RUN_BY)


@pytest.mark.parametrize(("page", "marker", "test"), sorted((*block, test) for block, test in RUN_BY.items()))
def test_each_test_that_is_named_asks_for_the_block(page: str, marker: str, test: str) -> None:
    file, _, name = test.partition("::")
    assert {page, marker} <= texts_of(ROOT / "tests" / file, name)


@pytest.mark.parametrize(("page", "test"), RUN_WHOLE.items())
def test_each_test_that_is_named_reads_the_page(page: str, test: str) -> None:
    file, _, name = test.partition("::")
    assert page in texts_of(ROOT / "tests" / file, name)


def texts_of(file: Path, name: str) -> set[str]:
    """The texts in the definition of ``name``, and in those of what it names, in the module ``file``."""
    defined = {each: node for node in ast.parse(file.read_text()).body for each in names_defined_by(node)}
    texts, todo, seen = set(), [name], set()
    while todo:
        each = todo.pop()
        if each in seen or each not in defined:
            continue
        seen.add(each)
        for node in ast.walk(defined[each]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            todo += [node.id] if isinstance(node, ast.Name) else [node.arg] if isinstance(node, ast.arg) else []
    assert name in seen
    return texts


def names_defined_by(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


# Commands between backticks, most of which run for long: what is run, or dots for the one before, and the rest.
OURS = re.compile(
    r"`(?:nice )?(?:[A-Z_]+=\w+ )?(?:\.venv/bin/)?(?:python3? )?"
    r"(\./run\.sh|benchmarks/\w+\.py|-m tests\.\w+|pytest|sphinx-build|\.\.\.)(?=[ `])([^`]*)`"
)
OF_DJANGO = re.compile(r"`(?:python )?(?:manage\.py )?(check|multidb_status|migrate|test)( --[^`]+)`")


def in_text(command: re.Pattern[str]) -> set[tuple[str, str]]:
    found = set()
    for page in pages():
        before = ""
        for what, rest in command.findall((ROOT / page).read_text()):
            before = before if what == "..." else what
            found.add((before, rest))
    return found


def test_each_command_in_the_text_names_a_file_that_is_there() -> None:
    """But for those that are installed."""
    named = {what for what, _ in in_text(OURS)}
    assert len(named) > 10
    assert "" not in named  # Dots, and no command before them.
    files = named - {"pytest", "sphinx-build"}
    paths = {what: ROOT / what.removeprefix("-m ").replace("tests.", "tests/") for what in files}
    assert [what for what, path in paths.items() if not path.exists()] == []


@pytest.mark.parametrize(("what", "rest"), sorted(each for each in in_text(OURS) if "--" in each[1]))
def test_each_option_in_the_text_is_one_that_the_command_has(what: str, rest: str) -> None:
    said = options_of(what)
    assert [option for option in re.findall(r"--[\w-]+", rest) if not re.search(rf"{option}\b(?!-)", said)] == []


def options_of(what: str) -> str:
    """A text that has the options of the command ``what``."""
    if what == "./run.sh":
        # It says how it is used when it is not told what to do.
        return subprocess.run(["bash", ROOT / what], capture_output=True, text=True, check=False).stderr
    if what == "sphinx-build":
        # Where it runs: it may not be installed where the tests are.
        return "".join(line for line in (ROOT / ".ci" / "run").read_text().splitlines() if what in line)
    command = [sys.executable, *(["-m", what] if what == "pytest" else what.split()), "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("name", "rest"), sorted(in_text(OF_DJANGO)))
def test_each_option_in_the_text_is_one_that_the_command_of_django_has(name: str, rest: str) -> None:
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(rest.split())


def test_each_file_of_ours_in_the_text_is_there() -> None:
    """But for those that CONTRIBUTING.md has the reader write."""
    file = re.compile(r"(?<![\w/.])(?:tests|benchmarks|multidb|example_project)/[\w/]+\.\w+")
    named = {path for page in pages() for path in file.findall((ROOT / page).read_text())}
    assert len(named) > 80
    missing = {path for path in named if not (ROOT / path).exists()}
    assert missing <= {"multidb/backends/files.py", "tests/backends/test_files.py"}


def test_each_setting_in_the_text_is_one() -> None:
    known = {*SETTINGS, "MULTIDB_"}
    named = {(page, name) for page in pages() for name in re.findall(r"`(MULTIDB_[A-Z_]*)", (ROOT / page).read_text())}
    assert len(named) > 100
    assert sorted(each for each in named if each[1] not in known) == []


def test_each_name_in_the_text_is_there() -> None:
    """Modules, and what is in them: that of Django's tasks where Django has those, what is gone where that is said."""
    dotted = re.compile(r"(?<![\w./-])(?!multidb\.[EW]\d)multidb(?:\.[A-Za-z_]\w*)+")
    code = [(page, code) for page in pages() for code in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text())]
    named = {(page, name) for page, text in code for name in dotted.findall(text)}
    assert len(named) > 30
    assert ("docs/how-to/from-django-replicated.md", "multidb.pinning.use_replica") in named
    if find_spec("django.tasks") is None:
        named = {each for each in named if not each[1].startswith("multidb.contrib.tasks")}
    gone = {(PREDECESSOR, name) for name in GONE}
    assert sorted(each for each in named - gone if not is_there(each[1])) == []


def is_there(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
