"""Each likely slip of who follows the tutorial leads to a message that names what mends it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django import VERSION

from tests.blocks import ROOT, block, blocks
from tests.boards import READY_SECONDS
from tests.test_tutorial import PAGE, replication

SESSIONS = '"django.contrib.sessions.middleware.SessionMiddleware"'
PLACE = f"MIDDLEWARE.index({SESSIONS}) + 1"
OURS = re.compile(r"MIDDLEWARE\.insert\(.*?\n\)\n", re.DOTALL)
REMOTE_USER_SECOND = 'MIDDLEWARE.insert(1, "django.contrib.auth.middleware.RemoteUserMiddleware")'
REDIS = ":6379/0"
NOBODY_LISTENS = ":1/0"
SILENCE = "System check identified no issues (0 silenced)."
FORGOTTEN = '"multidb" is not in INSTALLED_APPS'
# As where they are not installed.
WITHOUT_REDIS = """
import sys


class Missing:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("redis", "django_redis"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing)
"""
IN_A_SHELL = "from notes.models import Note; Note.objects.first()"
IN_A_REQUEST = "from django.test import Client; Client(raise_request_exception=False).get('/', HTTP_HOST='localhost')"


class Site:
    """The project of the tutorial, as it is when all is set that all readers set, and what those of one store do."""

    def __init__(self, folder: Path, store: str = "") -> None:
        self._folder = folder
        self._run("-m", "django", "startproject", "mysite", ".")
        self._run("manage.py", "startapp", "notes")
        for found in blocks(PAGE):
            what, _, rest = found.marker.partition(" ")
            name, _, of = rest.partition(": ")
            if what in ("write", "append") and of in ("", store):
                with (folder / name).open("w" if what == "write" else "a") as file:
                    file.write(f"\n{found.text}")

    def slip(self, change: Callable[[str], str]) -> None:
        settings = self._folder / "mysite" / "settings.py"
        before = settings.read_text()
        settings.write_text(change(before))
        assert settings.read_text() != before

    def says(self, *command: str) -> str:
        """All that ``manage.py command`` prints, in one line."""
        return " ".join(self._run("manage.py", *command, must_pass=False).split())

    def _run(self, *arguments: str, must_pass: bool = True) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST", "DJANGO"))}
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self._folder,
            env={**kept, "PYTHONPATH": f"{self._folder}:{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=must_pass,
            timeout=READY_SECONDS,
        )
        return ended.stdout


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def added(line: str) -> Callable[[str], str]:
    return lambda text: f"{text}\n{line}\n"


SLIPS = {
    "the middleware is forgotten": (
        lambda text: OURS.sub("", text),
        ["multidb.W004", "nobody is pinned", "Add multidb.middleware.PinningRouterMiddleware to MIDDLEWARE"],
    ),
    "the middleware is misspelt": (
        replaced("middleware.PinningRouterMiddleware", "middleware.PinningRouterMiddelware"),
        [
            "multidb.W004",
            "MIDDLEWARE has 'multidb.middleware.PinningRouterMiddelware'",
            "did you mean multidb.middleware.PinningRouterMiddleware?",
        ],
    ),
    "the middleware is before the sessions": (
        replaced(PLACE, "0"),
        ["multidb.W037", "before SessionMiddleware", "Put multidb.middleware.PinningRouterMiddleware after it"],
    ),
    "the middleware is after one that reads": (
        added(f"MIDDLEWARE.insert(0, MIDDLEWARE.pop(MIDDLEWARE.index({SESSIONS})))\n{REMOTE_USER_SECOND}"),
        ["multidb.W038", "RemoteUserMiddleware, which reads", "Put multidb.middleware.PinningRouterMiddleware before"],
    ),
    "the router is forgotten": (
        replaced('DATABASE_ROUTERS = ["multidb.PinningReplicaRouter"]', "DATABASE_ROUTERS = []"),
        ["multidb.W005", "Add multidb.PinningReplicaRouter to DATABASE_ROUTERS"],
    ),
    "the router that knows of pins is added to the other": (
        replaced('ROUTERS = ["multidb', 'ROUTERS = ["multidb.ReplicaRouter", "multidb'),
        ["multidb.W040", "a client may miss its own write", "Take ReplicaRouter out of DATABASE_ROUTERS"],
    ),
    "the middleware is added twice": (
        added("MIDDLEWARE.append('multidb.middleware.PinningRouterMiddleware')"),
        ["multidb.W041", "more than once", "Take out all but one, and have that right after SessionMiddleware"],
    ),
    "the alias of a replica is misspelt": (
        replaced('REPLICA_DATABASES = ["replica-1", "replica-2"]', 'REPLICA_DATABASES = ["replica-1", "replcia-2"]'),
        ["multidb.E002", "'replcia-2', which is not in DATABASES", "Allowed: 'default', 'replica-1', 'replica-2'"],
    ),
    "the alias of a database is misspelt": (
        replaced('for alias in ["replica-1", "replica-2"]', 'for alias in ["replica-1", "replcia-2"]'),
        ["multidb.E002", "'replica-2', which is not in DATABASES", "Allowed: 'default', 'replica-1', 'replcia-2'"],
    ),
    "the setting for replicas is misspelt": (
        replaced("REPLICA_DATABASES =", "REPLICAS_DATABASES ="),
        ["multidb.W001", "REPLICA_DATABASES names no replicas", "Name the aliases"],
    ),
    "a setting is misspelt": (
        added("MULTIDB_PINING_SECONDS = 5"),
        ["multidb.W010", "has no effect", "Did you mean MULTIDB_PINNING_SECONDS?"],
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_the_check_says_what_mends_it(slip: str, tmp_path: Path) -> None:
    change, words = SLIPS[slip]
    site = Site(tmp_path)
    site.slip(change)
    said = site.says("check")
    assert [word for word in words if word not in said] == [], said


def test_replicas_that_were_not_copied_lack_the_table_as_the_page_says_until_they_are(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for command in (["makemigrations", "notes"], ["migrate"]):
        site.says(*command)
    [seen] = re.findall(r"`(no such table: \w+)`", (ROOT / PAGE).read_text())
    assert seen in site.says("shell", "-c", IN_A_REQUEST)
    subprocess.run(["bash", "-c", f"{replication()}\nreplicate"], cwd=tmp_path, check=True)
    assert "no such table" not in site.says("shell", "-c", IN_A_REQUEST)


def test_a_middleware_before_the_sessions_stops_a_site_that_keeps_pins_in_them(tmp_path: Path) -> None:
    site = Site(tmp_path, "session")
    site.slip(replaced(PLACE, "0"))
    said = site.says("check")
    assert "multidb.E026" in said
    assert "Put django.contrib.sessions.middleware.SessionMiddleware before it" in said


def test_a_redis_that_does_not_run_is_named_by_the_check_and_the_status(tmp_path: Path) -> None:
    site = Site(tmp_path, "redis")
    site.slip(replaced(REDIS, NOBODY_LISTENS))
    said = site.says("check")
    assert "multidb.W039" in said
    assert "Connection refused" in said
    assert "Start it, or name its address in LOCATION of the cache 'pins' in CACHES" in said
    assert "pin store: ConnectionError: Error 111 connecting to 127.0.0.1:1. Connection refused" in site.says(
        "multidb_status"
    )


def test_a_redis_whose_address_has_no_scheme_is_named_with_its_cache(tmp_path: Path) -> None:
    site = Site(tmp_path, "redis")
    site.slip(replaced("redis://", ""))
    said = site.says("check")
    assert "multidb.E022" in said
    assert "must specify one of the following schemes" in said
    assert "Mend 'pins' in CACHES" in said


def test_packages_for_redis_that_are_missing_are_named_where_the_page_says_so(tmp_path: Path) -> None:
    """Django fails before a check of ours is shown, but where no other is asked for."""
    site = Site(tmp_path, "redis")
    (tmp_path / "mysite" / "__init__.py").write_text(WITHOUT_REDIS)
    for command in (["check"], ["migrate"], ["runserver", "--noreload"]):
        assert site.says(*command).endswith(" ".join(block("docs/stores.md", "missing packages").split()))
    said = site.says("check", "--tag", "multidb")
    assert "multidb.E024" in said
    for words in (said, site.says("multidb_status")):
        assert "Install django-multidb-pinning[redis]" in words


def forget_the_app(site: Site) -> None:
    """And the middleware, which would be no help: nothing checks the settings then."""
    site.slip(lambda text: OURS.sub("", text) + "\nINSTALLED_APPS.remove('multidb')\n")


@pytest.mark.skipif(VERSION >= (6, 1), reason="from Django 6.1 on, a check that names no database asks about them all")
def test_a_check_of_no_database_cannot_say_that_the_app_is_forgotten(tmp_path: Path) -> None:
    site = Site(tmp_path)
    forget_the_app(site)
    assert site.says("check") == SILENCE


@pytest.mark.parametrize(
    "command",
    [["check", "--database", "default"], ["migrate"], ["shell", "-c", IN_A_SHELL], ["shell", "-c", IN_A_REQUEST]],
    ids=" ".join,
)
def test_an_app_that_is_forgotten_is_named_when_something_is_routed(command: list[str], tmp_path: Path) -> None:
    site = Site(tmp_path)
    forget_the_app(site)
    said = site.says(*command)
    assert said.count(FORGOTTEN) == 1, said


def test_an_app_that_is_forgotten_is_named_by_routers_that_were_made_before_apps_were_loaded(tmp_path: Path) -> None:
    site = Site(tmp_path)
    forget_the_app(site)
    with (tmp_path / "notes" / "__init__.py").open("a") as file:
        file.write("from django.db import router\n\nassert len(router.routers) == 1\n")
    said = site.says("migrate")
    assert said.count(FORGOTTEN) == 1, said


@pytest.mark.skipif(VERSION < (6, 1), reason="before Django 6.1, a check that names no database asks about none")
def test_a_check_names_an_app_that_is_forgotten(tmp_path: Path) -> None:
    site = Site(tmp_path)
    forget_the_app(site)
    said = site.says("check")
    assert said.count(FORGOTTEN) == 1, said


def test_without_a_slip_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert Site(tmp_path).says("check") == SILENCE
