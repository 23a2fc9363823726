"""What the how-to pages and the topics print, works as it is printed."""

import ast
import json
import re
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.test import RequestFactory

from multidb.conf import conf
from multidb.rollout import Mode, constant_mode
from multidb.test import captured_routes
from tests.blocks import ROOT, block
from tests.projects import Project
from tests.test_docs import URLS

REDIS = "redis://127.0.0.1:6379/0"
# Settings that are all that a page changes.
ACCEPTED = [
    ("docs/how-to/api-clients.md", "settings"),
    ("docs/how-to/database-sessions.md", "settings"),
    ("docs/how-to/database-sessions.md", "settings elsewhere"),
    ("docs/how-to/pgbouncer.md", "settings"),
    ("docs/how-to/reader-endpoints.md", "settings"),
    ("docs/how-to/two-devices.md", "settings"),
]

VISIT = """
client = Client(headers={"X-Api-Key": "ada", "Authorization": "Token ada"})
client.get("/")
print(client.post("/add").status_code, end=" ")
client.cookies.clear()  # The store knows them by their token.
print(client.get("/")["Server-Timing"])
print(Client().get("/")["Server-Timing"])
"""
ADD = """
from django.views.decorators.csrf import csrf_exempt

@csrf_exempt
def add(request):
    User.objects.create(username="ada")
    return HttpResponse()

urlpatterns.append(path("add", add))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project of the README, with a page that writes, which says why each read went where it did."""
    project = Project(tmp_path, block("README.md", "settings"), URLS)
    project.add("settings.py", "MULTIDB_EXPLAIN = True\n")
    project.add("urls.py", ADD)
    return project


def with_redis(port: int) -> str:
    return block("docs/stores.md", "redis").replace(REDIS, f"redis://127.0.0.1:{port}/2")


@pytest.mark.parametrize(("page", "marker"), ACCEPTED)
def test_settings_are_accepted_and_a_site_serves_with_them(
    page: str, marker: str, project: Project, redis_port: int
) -> None:
    """No check complains, and whoever writes is pinned."""
    project.add("settings.py", with_redis(redis_port) + block(page, marker))
    said, _ = project.run(VISIT)
    writer, others = said.splitlines()
    assert writer.endswith('"1 from default (pinned)"')
    assert others.endswith('(replica)"')


def test_a_user_is_pinned_on_another_device_too(project: Project, redis_port: int) -> None:
    project.add("settings.py", with_redis(redis_port) + block("docs/how-to/two-devices.md", "settings"))
    said, _ = project.run(
        """
        from django.contrib.auth.models import User

        users = [User.objects.create(username=name) for name in ("grace", "linus")]
        phone, laptop, other = Client(), Client(), Client()
        for client, user in ((phone, users[0]), (laptop, users[0]), (other, users[1])):
            client.force_login(user)
        for alias in ("replica-1", "replica-2"):
            shutil.copy("default.sqlite3", f"{alias}.sqlite3")
        phone.post("/add")
        for client in (laptop, other):
            print(client.get("/")["Server-Timing"])
        """
    )
    laptop, other = said.splitlines()
    assert laptop.endswith('(pinned)"')
    assert "pinned" not in other


def test_a_key_of_your_own_pins_clients_by_their_header(project: Project, redis_port: int) -> None:
    """Also where they keep no cookies."""
    settings = block("docs/how-to/api-clients.md", "settings of the key").replace("mysite.keys", "keys_of_clients")
    project.add("settings.py", with_redis(redis_port) + settings)
    project.add("keys_of_clients.py", block("docs/how-to/api-clients.md", "key"))
    said, _ = project.run(
        """
        Client().post("/add", headers={"X-Api-Key": "ada"})
        print(Client().get("/", headers={"X-Api-Key": "ada"})["Server-Timing"])
        print(Client().get("/")["Server-Timing"])
        """
    )
    ada, nobody = said.splitlines()
    assert ada.endswith('"1 from default (pinned)"')
    assert nobody.endswith('(replica)"')


def test_a_model_is_read_from_replicas_of_its_primary(project: Project) -> None:
    databases = "DATABASES |= {a: {**DATABASES['default'], 'NAME': DIRECTORY / f'{a}.sqlite3'} for a in ALIASES}\n"
    project.add("accounts/__init__.py", "")
    project.add("accounts/models.py", "from django.db import models\n\nclass Account(models.Model): ...\n")
    project.add(
        "settings.py", "INSTALLED_APPS += ['accounts']\nALIASES = ('users', 'users-1', 'users-2')\n" + databases
    )
    settings = block("docs/how-to/several-primaries.md", "settings").replace("mysite.routers", "own_routers")
    project.add("settings.py", settings)
    project.add("own_routers.py", block("docs/how-to/several-primaries.md", "router"))
    said, _ = project.run(
        """
        from accounts.models import Account
        from django.contrib.auth.models import User

        call_command("migrate", database="users", run_syncdb=True, verbosity=0)
        for alias in ("users-1", "users-2"):
            shutil.copy("users.sqlite3", f"{alias}.sqlite3")
        print(*(Account.objects.all().db for _ in range(8)))
        print(Account.objects.create()._state.db, User.objects.all().db, User.objects.create()._state.db)
        """
    )
    turns, others = (line.split() for line in said.splitlines())
    assert {alias: turns.count(alias) for alias in set(turns)} == {"users-1": 6, "users-2": 2}
    assert others == ["users", "replica-1", "default"]


def test_an_app_a_field_and_a_model_can_be_ignored(project: Project) -> None:
    """A write to what is named pins nobody, and one to anything else does."""
    project.add("audit/__init__.py", "")
    project.add("audit/models.py", "from django.db import models\n\nclass LogEntry(models.Model): ...\n")
    project.add("settings.py", "INSTALLED_APPS += ['audit']\nMULTIDB_PINNING_TRIGGER = 'write'\n")
    project.add("settings.py", block("docs/pins.md", "ignore"))
    project.add("urls.py", LOGGED)
    said, _ = project.run(
        """
        call_command("migrate", run_syncdb=True, verbosity=0)
        print("multidb_pin_writes" in Client().post("/log").cookies)
        print("multidb_pin_writes" in Client().post("/add").cookies)
        """
    )
    assert said.split() == ["False", "True"]


def test_the_two_lines_for_postgresql_are_what_they_say(settings: Any) -> None:
    """On SQLite a check says of them that no database here can tell its position."""
    for name, value in assigned(block("README.md", "replayed")):
        setattr(settings, name, value)
    assert (conf.pinning_until, conf.pinning_trigger) == ("replayed", "write")
    assert {message.id for message in run_checks(tags=["multidb"])} == {"multidb.W014"}


def test_each_mode_is_one(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("myproject.rollout")
    module.is_routed = lambda request: True
    monkeypatch.setitem(sys.modules, "myproject", types.ModuleType("myproject"))
    monkeypatch.setitem(sys.modules, "myproject.rollout", module)
    modes = []
    for name, value in assigned(block("docs/rolling-out.md", "modes")):
        setattr(settings, name, value)
        modes.append(constant_mode())
    assert modes == [Mode.ON, Mode.OFF, Mode.DRY_RUN, None]
    assert conf.routing is module.is_routed


@pytest.mark.django_db(databases="__all__")
def test_a_view_says_what_its_method_does_not(rf: RequestFactory) -> None:
    page = block("docs/routing.md", "views")
    found = SimpleNamespace(balance=0)
    names: dict[str, Any] = {
        "Account": SimpleNamespace(objects=SimpleNamespace(get=lambda user: User.objects.first() or found)),
        "monthly_report": lambda: User.objects.first(),
    }
    exec(page, names)
    request = rf.get("/")
    request.user = User()
    with captured_routes() as routes:
        names["dashboard"](request)
    assert [(route.alias == "default", route.reason) for route in routes] == [(True, "forced"), (False, "forced")]
    assert names["confirm"](request, "token") is None
    assert names["search"](request) is None


def test_a_list_of_the_admin_is_read_from_a_replica(project: Project) -> None:
    """Even by whoever is pinned."""
    project.add(
        "urls.py", block("docs/how-to/admin.md", "admin") + "\nurlpatterns.append(path('admin/', admin.site.urls))\n"
    )
    said, _ = project.run(
        """
        from django.contrib.auth.models import User

        ada = Client()
        ada.force_login(User.objects.create_superuser("grace"))
        ada.post("/add")
        print(ada.get("/admin/auth/user/")["Server-Timing"])
        print(ada.get("/admin/auth/group/")["Server-Timing"])
        """
    )
    users, groups = said.splitlines()
    assert re.search(r"from replica-\d \(forced\)", users)
    assert "replica" not in groups


def test_the_status_can_be_asked_from_a_shell_and_from_python(project: Project) -> None:
    """The command prints the parts of the page's JSON, and Python has what they are made of."""
    command = block("docs/status.md", "command").split()
    assert command[:2] == ["python", "manage.py"]
    said, _ = project.run(
        f"""
        import io, json
        printed = io.StringIO()
        call_command(*{command[2:]}, format="json", stdout=printed)
        print(list(json.loads(printed.getvalue())))
        exec({block("docs/status.md", "snapshot")!r})
        print(status.ok, list(status.as_json()))
        """
    )
    shell, python = said.splitlines()
    keys = list(json.loads(block("docs/status.md", "json")))
    assert shell == str(keys)
    assert python == f"True {keys}"


def test_the_modules_of_celery_find_each_other(project: Project) -> None:
    project.add("mysite/__init__.py", block("docs/tasks.md", "celery package"))
    project.add("mysite/celery.py", block("docs/tasks.md", "celery").replace("mysite.settings", "settings"))
    project.add("tasks_of_it.py", "from celery import shared_task\n" + block("docs/tasks.md", "celery task"))
    said, _ = project.run(
        """
        import mysite
        from celery import signals
        from tasks_of_it import where

        print(mysite.celery_app.main, len(signals.before_task_publish.receivers), where.apply().get())
        """
    )
    assert said.split()[:2] == ["mysite", "1"]
    assert said.split()[2] in ("replica-1", "replica-2")


def test_a_queue_in_a_table_is_read_from_the_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec(block("docs/tasks.md", "queue"), names)
    router = names["QueueRouter"]()
    queue = SimpleNamespace(_meta=SimpleNamespace(app_label="django_tasks_database"))
    assert router.db_for_read(queue) == "default"
    assert router.db_for_read(User) is None
    assert names["DATABASE_ROUTERS"][-1] == "multidb.PinningReplicaRouter"


@pytest.mark.parametrize(("marker", "site"), [("fresh tokens", "rest_framework"), ("ninja", "ninja")])
def test_what_is_printed_is_in_the_sites_of_the_tests(marker: str, site: str) -> None:
    """But for docstrings and types: those sites are tried with the real packages."""
    tried = classes((ROOT / "tests" / "third_parties" / "sites" / f"{site}.py").read_text())
    printed = classes(block("docs/third-parties.md", marker))
    assert printed
    assert {name: tried[name] for name in printed} == printed


LOGGED = """
from audit.models import LogEntry

def log(request):
    LogEntry.objects.create()
    return HttpResponse()

urlpatterns.append(path("log", log))
"""


def assigned(code: str) -> list[tuple[str, Any]]:
    """Each name to which ``code`` assigns a literal, with that."""
    return [(line.targets[0].id, ast.literal_eval(line.value)) for line in ast.parse(code).body]


def classes(code: str) -> dict[str, str]:
    """The classes in ``code``, by their names, without docstrings and types."""
    found = {}
    for each in ast.parse(code).body:
        if isinstance(each, ast.ClassDef):
            for node in ast.walk(each):
                if isinstance(node, ast.FunctionDef):
                    node.returns = None
                if isinstance(node, ast.arg):
                    node.annotation = None
            if ast.get_docstring(each) is not None:
                del each.body[0]
            found[each.name] = ast.unparse(each)
    return found
