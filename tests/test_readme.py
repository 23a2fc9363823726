"""What the README, and what has grown out of it, says works as it is printed."""

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests import models
from tests.blocks import ROOT, block
from tests.conftest import CACHE, COOKIE, REDIS, SESSION, Replication
from tests.projects import Project

URLS = """
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

@csrf_exempt
def users(request):
    if request.method == "POST":
        user = User.objects.create(username=request.POST["name"])
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponseRedirect("/")
    found = User.objects.all()
    return HttpResponse(f"{','.join(user.username for user in found)} from {found.db}")

urlpatterns = [path("", users)]
"""

VISIT = """
from django.conf import settings
from multidb.middleware import pinning_cookie

writer = Client()
writer.post("/", {"name": "ada"})
if "cookie" not in settings.MULTIDB_PIN_STORE["BACKEND"]:
    del writer.cookies[pinning_cookie()]  # Which the store does without.
response = writer.get("/")
assert (response.content, "(pinned)" in response["Server-Timing"]) == (b"ada from default", True), response.headers
assert Client().get("/").content in (b" from replica-1", b" from replica-2")
print("saw my own write, and nobody else's")
"""

OTHER_TABLES = ("Growth", "Async requests", "Questions", "Memory of Redis", "Memory of a worker")


@pytest.mark.parametrize("backend", [COOKIE, SESSION, REDIS, CACHE])
def test_a_project_set_up_from_the_readme_works_with_each_store(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str
) -> None:
    """From ``startproject`` on, with the settings as printed in README.md and docs/stores.md."""
    if backend == REDIS:
        address = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/1"
        chosen = block("docs/stores.md", "redis").replace("redis://127.0.0.1:6379/0", address)
    else:
        backend_of_files = "django.core.cache.backends.filebased.FileBasedCache"
        room = {"MAX_ENTRIES": 10_000}
        files = {"BACKEND": backend_of_files, "LOCATION": str(tmp_path / "cache"), "OPTIONS": room}
        chosen = f"CACHES = {{'default': {files!r}}}\nMULTIDB_PIN_STORE = {{'BACKEND': {backend!r}}}\n"
    said, _ = Project(tmp_path, block("README.md", "settings") + chosen, URLS).run(VISIT)
    assert said == "saw my own write, and nobody else's\n"


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_the_store_that_is_written_in_the_docs_works(
    replication: Replication, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subclass of ``PinStore`` in 15 lines."""
    code = block("docs/stores.md", "store")
    assert len([line for line in code.splitlines() if line.startswith(("class", "    ")) and line.strip()]) <= 15
    monkeypatch.setitem(sys.modules, "myproject", types.ModuleType("myproject"))
    monkeypatch.setitem(sys.modules, "myproject.models", models)
    module = types.ModuleType("readme_store")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "readme_store", module)
    settings.MULTIDB_PIN_STORE = {"BACKEND": "readme_store.TablePinStore", "OPTIONS": {"header": "X-Gateway"}}
    gateway = {"X-Gateway": "client-1"}
    client.post("/post", {"text": "mine"}, headers=gateway)
    assert Client().get("/read", headers=gateway).json()["reason"] == "pinned"
    assert Client().get("/read", headers={"X-Gateway": "client-2"}).json()["reason"] == "replica"
    assert client.post("/nothing").cookies


def test_every_setting_is_in_its_table() -> None:
    from multidb.checks import SETTINGS

    page = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in (*SETTINGS, "REPLICA_DATABASES") if f"\n| `{name}` |" not in page] == []


def test_every_store_is_in_one_table_that_the_readme_and_the_docs_have() -> None:
    stores = [path.removeprefix("multidb.backends.") for path in (COOKIE, SESSION, REDIS, CACHE)]
    tables = [table_of_stores(page) for page in ("README.md", "docs/stores.md")]
    assert tables[0] == tables[1]
    assert [name for name in stores if f"\n| `{name}`" not in tables[0]] == []


def test_each_link_of_the_readme_leads_somewhere() -> None:
    """To a file, and to a heading of it. Those between pages of the docs are followed when the site is made."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)", (ROOT / "README.md").read_text())
    assert len(links) > 20
    for path, heading in links:
        assert (ROOT / path).is_file(), path
        assert not heading or heading in headings(ROOT / path), (path, heading)


def headings(page: Path) -> set[str]:
    """What a code host makes of them to link to."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found}


def test_each_figure_of_the_readme_is_that_of_its_row_in_the_costs() -> None:
    """The table has rows of docs/costs.md, as they are there, without some columns."""
    measured = measured_rows()
    differing = []
    for heading, row in rows_of_tables("README.md"):
        there = measured.get(row.get("what", ""), {})
        if heading == "What it costs" and row != (expected := {column: there.get(column, "") for column in row}):
            differing.append(f"README.md has\n{line(row)}\nand docs/costs.md\n{line(expected)}")
    assert not differing, "\n".join(differing)


def test_the_readme_names_each_target_that_is_missed() -> None:
    """In the table, or in the list below it, which says how far it is."""
    shown = [measured_rows()[row["what"]] for heading, row in rows_of_tables("README.md") if heading == "What it costs"]
    missed = [(heading, row) for heading, row in rows_of_tables("docs/costs.md") if row["reached"] == "no"]
    section = (ROOT / "README.md").read_text().partition("\n## What it costs\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^- (.+)$", section, re.MULTILINE)
    expected = [
        f"{heading}: {row['what']}: {figure_of(row)}, {row['target']}" for heading, row in missed if row not in shown
    ]
    assert listed == expected, "\n".join(expected)


def test_the_readme_shows_the_other_tables_too() -> None:
    """But for that of instructions, which has no targets."""
    tables = [list(rows_under("README.md", heading)) for heading in OTHER_TABLES]
    assert tables == [list(rows_under("docs/costs.md", heading)) for heading in OTHER_TABLES]
    assert all(tables)


def test_the_readme_says_by_what_command_and_where_its_figures_were_measured() -> None:
    costs = (ROOT / "docs" / "costs.md").read_text()
    said = re.findall(
        r"`python3 benchmarks/cost\.py.*?`|^\d+ processors .*|Medians of \d+ interleaved rounds\.", costs, re.M
    )
    assert len(set(said)) == 3
    assert [each for each in said if each not in (ROOT / "README.md").read_text()] == []


def figure_of(row: dict[str, str]) -> str:
    """What is compared with the target: a ratio, or what the first column has."""
    return row["ratio"] if re.search(r"\bx\b", row["target"]) else list(row.values())[1]


def rows_under(page: str, heading: str) -> Iterator[dict[str, str]]:
    return (row for under, row in rows_of_tables(page) if under == heading)


def measured_rows() -> dict[str, dict[str, str]]:
    """The rows of docs/costs.md, by their names; where two tables have one of the same name, that of the first."""
    return {row["what"]: row for _, row in reversed(list(rows_of_tables("docs/costs.md")))}


def rows_of_tables(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of the tables of ``page``, by column, with the heading that it is under."""
    heading, columns = "", []
    for each in (ROOT / page).read_text().splitlines():
        cells = [cell.strip() for cell in each.split("|")[1:-1]]
        if each.startswith(("## ", "### ")):
            heading = each.lstrip("# ")
        if not cells:
            columns = []
        elif not columns:
            columns = cells
        elif not cells[0].startswith("---"):
            yield heading, dict(zip(columns, cells, strict=True))


def line(row: dict[str, str]) -> str:
    return f"| {' | '.join(row.values())} |"


def table_of_stores(page: str) -> str:
    text = (ROOT / page).read_text()
    return text[text.index("\n| `BACKEND`") :].partition("\n\n")[0]
