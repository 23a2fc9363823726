"""What the README says works as it is printed."""

import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests import models
from tests.conftest import CACHE, COOKIE, REDIS, SESSION, Replication

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """The Python code that follows ``<!-- name -->``."""
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found, name
    return found[1]


SITE = """
from pathlib import Path

DIRECTORY = Path(__file__).parent
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": DIRECTORY / f"{alias}.sqlite3"}
    for alias in ("default", "replica-1", "replica-2")
}
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "urls"
"""

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
import shutil
import django
from django.core.management import call_command
from django.test import Client

django.setup()
call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
for alias in ("replica-1", "replica-2"):
    shutil.copy("default.sqlite3", f"{alias}.sqlite3")
writer = Client()
assert writer.post("/", {"name": "ada"}, follow=True).content == b"ada from default"
assert Client().get("/").content in (b" from replica-1", b" from replica-2")
print("saw my own write, and nobody else's")
"""


@pytest.mark.parametrize("backend", [COOKIE, SESSION, REDIS, CACHE])
def test_a_project_set_up_from_the_readme_works_with_each_store(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str
) -> None:
    """From ``startproject`` on, with the settings as printed."""
    if backend == REDIS:
        address = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/1"
        chosen = block("redis").replace("redis://127.0.0.1:6379/0", address)
    else:
        backend_of_files = "django.core.cache.backends.filebased.FileBasedCache"
        room = {"MAX_ENTRIES": 10_000}
        files = {"BACKEND": backend_of_files, "LOCATION": str(tmp_path / "cache"), "OPTIONS": room}
        chosen = f"CACHES = {{'default': {files!r}}}\nMULTIDB_PIN_STORE = {{'BACKEND': {backend!r}}}\n"
    subprocess.run([sys.executable, "-m", "django", "startproject", "site_", tmp_path], check=True)
    shutil.move(tmp_path / "site_" / "settings.py", tmp_path / "settings.py")
    with (tmp_path / "settings.py").open("a") as settings:
        settings.write(SITE + block("settings") + chosen)
    (tmp_path / "urls.py").write_text(URLS)
    visited = subprocess.run(
        [sys.executable, "-W", "error", "-c", VISIT],
        cwd=tmp_path,
        env={"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert visited.stdout.splitlines()[-1:] == ["saw my own write, and nobody else's"], visited.stderr


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_the_store_of_the_readme_works(
    replication: Replication, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subclass of ``PinStore`` in 15 lines."""
    code = block("store")
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


def test_every_setting_and_store_is_in_the_readme() -> None:
    from multidb.checks import SETTINGS

    stores = [path.removeprefix("multidb.backends.") for path in (COOKIE, SESSION, REDIS, CACHE)]
    assert [name for name in (*SETTINGS, *stores, "REPLICA_DATABASES") if f"`{name}`" not in README] == []
