"""Project: one made by ``startproject``, with two replicas, in which code of the pages is run."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.blocks import ROOT

SITE = """
from pathlib import Path

DIRECTORY = Path(__file__).parent
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": DIRECTORY / f"{alias}.sqlite3"}
    for alias in ("default", "replica-1", "replica-2")
}
ALLOWED_HOSTS = ["testserver"]
MULTIDB_EXPLAIN = True
ROOT_URLCONF = "urls"
"""

BEGIN = """
import io
import shutil
import django
from django.core.management import call_command
from django.test import Client

django.setup()
call_command("check", fail_level="WARNING", stdout=io.StringIO())
call_command("migrate", verbosity=0)
for alias in ("replica-1", "replica-2"):
    shutil.copy("default.sqlite3", f"{alias}.sqlite3")
"""


class Project:
    """A project that ``startproject`` makes in ``directory``, on three databases, with ``settings`` and ``urls``."""

    def __init__(self, directory: Path, settings: str, urls: str) -> None:
        self._directory = directory
        subprocess.run([sys.executable, "-m", "django", "startproject", "site_", directory], check=True)
        shutil.move(directory / "site_" / "settings.py", directory / "settings.py")
        self.add("settings.py", SITE + settings)
        self.add("urls.py", urls)

    def add(self, name: str, text: str) -> None:
        """Add ``text`` to the file ``name``."""
        (self._directory / name).parent.mkdir(exist_ok=True)
        with (self._directory / name).open("a") as file:
            file.write(text)

    def run(self, code: str) -> tuple[str, str]:
        """What ``code`` prints in it, and what is logged, once all is migrated and checked."""
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", BEGIN + textwrap.dedent(code)],
            cwd=self._directory,
            env={"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{self._directory}:{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout, ended.stderr
