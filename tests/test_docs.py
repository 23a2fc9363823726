"""What the pages under docs/ say works as it is printed, in a project made by ``startproject``."""

import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.blocks import ROOT, block
from tests.projects import Project

URLS = """
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import include, path

def users(request):
    return HttpResponse(f"<html><body>{User.objects.count()} users</body></html>")

def nothing(request):
    return HttpResponse()

urlpatterns = [path("", users), path("nothing", nothing)]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With routing as the README sets it up."""
    return Project(tmp_path, block("README.md", "settings"), URLS)


def test_the_header_and_the_log_say_where_reads_went(project: Project) -> None:
    project.add("settings.py", block("docs/observing.md", "explain") + block("docs/observing.md", "logging"))
    said, logged = project.run(
        """
        print(Client().get("/")["Server-Timing"])
        print(Client().get("/nothing")["Server-Timing"])
        """
    )
    first, second = said.splitlines()
    assert re.fullmatch(r'(replica-\d)-replica;desc="1 from \1 \(replica\)"', first)
    assert second == 'multidb;desc="no reads"'
    assert re.search(r"auth\.User: replica-\d \(replica\) at urls:7\n", logged)
    assert re.search(r"urls\.users reads 1 from replica-\d \(replica\)\n", logged)


def test_the_panel_shows_reads_in_the_toolbar(project: Project) -> None:
    project.add(
        "settings.py",
        "INSTALLED_APPS += ['debug_toolbar']\nDEBUG = True\nINTERNAL_IPS = ['127.0.0.1']\n"
        "MIDDLEWARE.insert(0, 'debug_toolbar.middleware.DebugToolbarMiddleware')\n"
        "DEBUG_TOOLBAR_CONFIG = {'IS_RUNNING_TESTS': False}\n" + block("docs/observing.md", "toolbar"),
    )
    project.add("urls.py", "\nurlpatterns.append(path('__debug__/', include('debug_toolbar.urls')))\n")
    said, _ = project.run(
        """
        import re
        page = Client().get("/").content.decode()
        id = re.search(r'data-request-id="(\\w+)"', page)[1]
        panel = Client().get("/__debug__/render_panel/", {"request_id": id, "panel_id": "RoutingPanel"})
        print(panel.json()["content"])
        """
    )
    assert "urls:7" in said
    assert "auth.User" in said


def test_the_exporter_and_the_signal_count(project: Project) -> None:
    project.add("settings.py", block("docs/observing.md", "prometheus"))
    project.add("urls.py", block("docs/observing.md", "view") + "\nurlpatterns.append(path('metrics', metrics))\n")
    project.add("urls.py", block("docs/observing.md", "signal"))
    said, _ = project.run(
        """
        Client().get("/")
        print(Client().get("/metrics").content.decode())
        """
    )
    assert re.search(r"^1 reads from replica-\d: replica$", said, re.MULTILINE)
    assert re.search(r'^multidb_reads_total\{database="replica-\d",reason="replica"\} 1\.0$', said, re.MULTILINE)
    assert re.search(r'^multidb_replica_down\{database="replica-1"\} 0\.0$', said, re.MULTILINE)
    assert re.search(r"^multidb_pin_store_down 0\.0$", said, re.MULTILINE)


def test_a_function_decides_for_whom_reads_are_routed(project: Project) -> None:
    project.add("settings.py", "MULTIDB_ROUTING = 'rollout.is_routed'\nMULTIDB_EXPLAIN = True\n")
    project.add("rollout.py", block("docs/rolling-out.md", "rollout"))
    said, _ = project.run(
        """
        import os
        from django.contrib.auth.models import User

        def reasons(client=None, **headers):
            return (client or Client()).get("/", headers=headers)["Server-Timing"]

        for headers in ({}, {"x_replicas": "on"}, {"x_replicas": "off"}):
            print(reasons(**headers))
        staff = Client()
        staff.force_login(User.objects.create_user("ada", is_staff=True))
        print(reasons(staff))
        os.environ["REPLICAS_PERCENTAGE"] = "100"
        print(reasons())
        """
    )
    replica = re.compile(r'(replica-\d)-replica;desc="1 from \1 \(replica\)"')
    nobody, by_header, not_by_header, staff, everybody = said.splitlines()
    assert nobody == not_by_header == 'default-off;desc="1 from default (off)"'
    assert replica.fullmatch(by_header)
    assert replica.search(staff)
    assert replica.fullmatch(everybody)


def test_a_view_can_have_a_mode_of_its_own(project: Project) -> None:
    project.add("settings.py", "MULTIDB_EXPLAIN = True\n" + block("docs/observing.md", "logging"))
    views = block("docs/rolling-out.md", "view").replace("...", "return users(request)")
    project.add("urls.py", views + "\nurlpatterns += [path(f.__name__, f) for f in (catalogue, checkout, search)]\n")
    said, logged = project.run(
        """
        for address in ("/catalogue", "/checkout", "/search"):
            print(Client().get(address)["Server-Timing"])
        """
    )
    routed, off, tried = said.splitlines()
    assert re.match(r"replica-\d-replica;", routed)
    assert off == 'default-off;desc="1 from default (off)"'
    assert re.search(r'desc="dry run: 1 from replica-\d \(replica\)"', tried)
    assert re.search(r"urls\.search would read, in a dry run, 1 from replica-\d \(replica\)\n", logged)


def test_the_lines_with_curl_among_the_questions_print_what_is_asked_for(project: Project) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not on PATH")
    text = "".join((ROOT / "docs" / name).read_text() for name in ("why-stale.md", "why-primary.md"))
    lines = sorted(set(re.findall(r"`(curl -[^`]*\| grep \w[^`]*)`", text)))
    project.add("settings.py", "ALLOWED_HOSTS += ['127.0.0.1']\n")
    project.add("urls.py", "\nusers.csrf_exempt = True\n")
    said, _ = project.run(
        f"""
        import subprocess
        import threading
        from wsgiref.simple_server import make_server
        from django.core.wsgi import get_wsgi_application

        with make_server("127.0.0.1", 0, get_wsgi_application()) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for line in {lines}:
                line = line.replace("-d ...", "-d a=1").replace("ADDRESS", f"http://127.0.0.1:{{server.server_port}}")
                print(subprocess.run(["bash", "-c", line], capture_output=True, text=True).stdout.strip())
            server.shutdown()
        """
    )
    written, read = said.splitlines()
    assert re.match("Set-Cookie: +multidb_pin_writes=", written)
    assert re.match(r"Server-Timing: replica-\d-replica;", read)


def test_the_architecture_names_each_module_where_the_imports_have_it() -> None:
    """In the order of the contract that ``lint-imports`` holds, and of each it says what it may not know."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page[page.index("| modules | what they may not know |") :]
    rows = re.findall(r"^\| (`.+?) \|(.*)\|$", table, re.MULTILINE)
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    assert [set(re.findall(r"`(\w+)`", modules)) for modules, _ in rows] == layers
    assert [modules for modules, unknown in rows if not unknown.strip()] == []


def test_the_architecture_names_files_that_are_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page[page.index("| what | where |") : page.index("## Imports run one way")]
    named = re.findall(r"`([\w/]+(?:\.py|/))`", table)
    found = [bool(list((ROOT / "multidb").glob(f"**/{name.rstrip('/')}"))) for name in named]
    assert dict(zip(named, found, strict=True)) == dict.fromkeys(named, True)


def test_the_picture_of_a_request_is_what_its_command_draws_from_modules_that_are_there() -> None:
    picture = ROOT / "docs" / "pictures" / "request.py"
    drawing = runpy.run_path(str(picture))
    assert picture.with_suffix(".svg").read_text() == drawing["drawn"]()
    named = re.findall(r"[\w/]+(?:\.py|/)", " ".join(drawing["LANES"].values()))
    assert len(named) == 8
    assert all((ROOT / "multidb" / name).exists() for name in named), named


def test_the_tests_that_the_docs_name_are_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"(?:`|::)(test_\w+)`", page.read_text())}
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    assert len(named) > 40
    assert named - set(re.findall(r"def (test_\w+)", code)) == set()
