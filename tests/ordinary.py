"""An ordinary project, whose suite knows nothing of routing, made by startproject, and with routing on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

SETTINGS = """
import os

INSTALLED_APPS += ["notes", "multidb"]
ROOT_URLCONF = "urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {databases!r}
if os.environ["ROUTED"] == "yes":
    REPLICA_DATABASES = ["replica-1", "replica-2"]
    DATABASE_ROUTERS = ["multidb.PinningReplicaRouter"]
    MULTIDB_PINNING_UNTIL = "replayed"
    MULTIDB_PINNING_TRIGGER = "write"
    MIDDLEWARE.insert(
        MIDDLEWARE.index("django.contrib.sessions.middleware.SessionMiddleware") + 1,
        "multidb.middleware.PinningRouterMiddleware",
    )
"""

FILES = {
    "urls.py": """
from django.contrib import admin
from django.urls import path
from notes import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", views.notes),
    path("async/", views.anotes),
]
""",
    "notes/__init__.py": "",
    "notes/migrations/__init__.py": "",
    "notes/migrations/0001_initial.py": """
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            "Note",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("text", models.TextField()),
                ("author", models.ForeignKey(settings.AUTH_USER_MODEL, django.db.models.deletion.CASCADE, null=True)),
                ("readers", models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="read")),
            ],
        ),
    ]
""",
    "notes/models.py": """
from django.conf import settings
from django.db import models


class Note(models.Model):
    id = models.BigAutoField(primary_key=True)
    text = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    readers = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="read")

    def __str__(self):
        return self.text
""",
    "notes/admin.py": """
from django.contrib import admin
from notes.models import Note

admin.site.register(Note)
""",
    "notes/views.py": """
from django.http import HttpResponse, HttpResponseRedirect
from django.views.decorators.csrf import csrf_exempt
from notes.models import Note


@csrf_exempt
def notes(request):
    if request.method == "POST":
        Note.objects.create(text=request.POST["text"], author=request.user if request.user.pk else None)
        return HttpResponseRedirect("/")
    return HttpResponse(", ".join(note.text for note in Note.objects.order_by("pk")))


@csrf_exempt
async def anotes(request):
    if request.method == "POST":
        await Note.objects.acreate(text=request.POST["text"])
        return HttpResponseRedirect("/async/")
    return HttpResponse(", ".join([note.text async for note in Note.objects.order_by("pk")]))
""",
    "notes/tests.py": """
import urllib.request

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client, LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext
from notes.models import Note


class Notes(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.ada = User.objects.create_superuser("ada", password="secret")
        cls.note = Note.objects.create(text="first", author=cls.ada)

    def test_a_note_is_read_that_was_just_written(self):
        self.assertEqual(Note.objects.get(pk=self.note.pk).author, self.ada)
        self.assertEqual(self.ada.note_set.count(), 1)
        self.note.readers.add(self.ada)
        self.assertEqual(list(self.ada.read.select_related("author")), [self.note])

    def test_as_many_queries_are_counted(self):
        with self.assertNumQueries(1):
            self.client.get("/")
        with CaptureQueriesContext(connection) as queries:
            Note.objects.first()
            Note.objects.create(text="second")
        self.assertEqual(len(queries), 2)

    def test_one_page_and_then_the_next(self):
        self.assertEqual(self.client.get("/").content, b"first")
        response = self.client.post("/", {"text": "second"}, follow=True)
        self.assertEqual(response.content, b"first, second")
        self.assertEqual(Client().get("/").content, b"first, second")

    def test_the_admin(self):
        self.client.login(username="ada", password="secret")
        response = self.client.post(
            "/admin/notes/note/add/", {"text": "by hand", "author": self.ada.pk, "readers": [self.ada.pk]}, follow=True
        )
        self.assertContains(response, "was added successfully")
        self.assertContains(self.client.get("/admin/notes/note/"), "by hand")

    def test_on_commit(self):
        called = []
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: called.append(Note.objects.count()))
        self.assertEqual(called, [1])

    def test_a_savepoint(self):
        with self.assertRaises(ValueError), transaction.atomic():
            Note.objects.create(text="never")
            raise ValueError
        self.assertEqual(Note.objects.count(), 1)

    async def test_async_pages(self):
        await self.async_client.post("/async/", {"text": "second"})
        self.assertEqual((await self.async_client.get("/async/")).content, b"first, second")
        self.assertEqual(await Note.objects.acount(), 2)


class NotesOnAllDatabases(Notes):
    databases = "__all__"


class Committed(TransactionTestCase):
    def test_a_note_is_read_that_was_just_written(self):
        with transaction.atomic():
            Note.objects.create(text="first")
        with self.assertNumQueries(1):
            self.assertEqual(Note.objects.get().text, "first")
        for path in ("/", "/async/"):
            self.client.post(path, {"text": "more"}, follow=True)
        self.assertEqual(self.client.get("/").content, b"first, more, more")

    async def test_async_pages(self):
        await self.async_client.post("/async/", {"text": "first"})
        self.assertEqual((await self.async_client.get("/async/")).content, b"first")


class CommittedOnAllDatabases(TransactionTestCase):
    databases = "__all__"

    def test_a_note_is_read_that_was_just_written(self):
        self.client.post("/", {"text": "first"})
        self.assertEqual(Note.objects.get().text, "first")
        self.assertEqual(Client().get("/").content, b"first")


class Served(LiveServerTestCase):
    def test_a_browser_sees_what_the_test_wrote_and_the_other_way_round(self):
        Note.objects.create(text="first")
        with urllib.request.urlopen(f"{self.live_server_url}/", data=b"text=second") as response:
            self.assertEqual(response.read(), b"first, second")
        self.assertEqual(Note.objects.count(), 2)


class Simple(SimpleTestCase):
    def test_no_database(self):
        with self.assertRaisesMessage(AssertionError, "queries to 'default' are not allowed in SimpleTestCase"):
            Note.objects.count()
""",
    "test_with_pytest.py": """
import urllib.request

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from notes.models import Note


def test_db(db, client, django_assert_num_queries):
    Note.objects.create(text="first")
    with django_assert_num_queries(1):
        assert client.get("/").content == b"first"
    assert client.post("/", {"text": "second"}, follow=True).content == b"first, second"


def test_admin_client(admin_client):
    assert admin_client.get("/admin/").status_code == 200
    assert User.objects.get().is_superuser


def test_transactional_db(transactional_db, client):
    Note.objects.create(text="first")
    assert client.get("/").content == b"first"
    client.post("/", {"text": "second"})
    assert client.get("/").content == b"first, second"


@pytest.mark.django_db(databases="__all__")
def test_all_databases(client):
    Note.objects.create(text="first")
    assert client.get("/").content == b"first"


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_all_databases_committed(client):
    Note.objects.create(text="first")
    assert client.get("/").content == b"first"


@pytest.mark.django_db(transaction=True)
async def test_async(async_client):
    await async_client.post("/async/", {"text": "first"})
    assert (await async_client.get("/async/")).content == b"first"
    await sync_to_async(connections.close_all)()  # On the thread that the async ORM ran on.


def test_live_server(live_server):
    Note.objects.create(text="first")
    with urllib.request.urlopen(live_server.url + "/", data=b"text=second") as response:
        assert response.read() == b"first, second"


def test_nothing_is_left():
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        Note.objects.count()
""",
    "pytest.ini": """
[pytest]
DJANGO_SETTINGS_MODULE = settings
pythonpath = .
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
""",
}


# With routing on it is on, in every kind of test.
ROUTED = """
from django.test import TestCase, TransactionTestCase
from multidb.test import RoutingTestMixin, captured_routes
from notes.models import Note

REPLICAS = ["replica-1", "replica-2"]


class Routed(RoutingTestMixin, TestCase):
    def test_a_read_goes_to_a_replica_and_after_a_write_to_the_primary(self):
        with self.assertReadsFrom(*REPLICAS, model=Note):
            self.client.get("/")
        with self.assertReadsFrom("default", model=Note):
            response = self.client.post("/", {"text": "first"}, follow=True)
        self.assertPinned(response)
        self.assertEqual(response.content, b"first")


class RoutedOnAllDatabases(Routed):
    databases = "__all__"


class RoutedAndCommitted(RoutingTestMixin, TransactionTestCase):
    test_reads = Routed.test_a_read_goes_to_a_replica_and_after_a_write_to_the_primary


class RoutedAndCommittedOnAllDatabases(RoutedAndCommitted):
    databases = "__all__"
"""

RUNS = {
    "test": ["-m", "django", "test", "--noinput"],
    "test in parallel": ["manage.py", "test", "--noinput", "--parallel", "2"],
    "pytest": [
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "notes/tests.py",
        "notes/test_routed.py",
        "test_with_pytest.py",
    ],
}


def check_suite(directory: Path, databases: dict[str, Any], runs: list[str]) -> None:
    """Make the project in ``directory`` with ``databases``, and see that its suite passes with each of ``runs``."""
    make_project(directory, databases)
    (directory / "notes" / "test_routed.py").write_text(ROUTED)
    for run in runs:
        result = run_python(directory, *RUNS[run])
        assert result.returncode == 0, f"{run}\n{result.stdout}\n{result.stderr}"
        assert "Ran 23 tests" in result.stderr or "31 passed" in result.stdout, result.stdout


def make_project(directory: Path, databases: dict[str, Any]) -> None:
    """Make the project in ``directory``."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "site_", directory], check=True)
    (directory / "site_" / "settings.py").rename(directory / "settings.py")
    with (directory / "settings.py").open("a") as settings:
        settings.write(SETTINGS.format(databases=databases))
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))


def run_python(directory: Path, *arguments: str, routed: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python in the project in ``directory``, and wait for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST", "DJANGO"))}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=directory,
        env={
            **kept,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": f"{directory}:{ROOT}",
            "ROUTED": "yes" if routed else "no",
        },
        capture_output=True,
        text=True,
        check=False,
    )
