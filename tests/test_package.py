"""What users import: light, before settings, and without the optional packages."""

import re
import subprocess
import sys
from pathlib import Path

import multidb

ROOT = Path(__file__).parent.parent


def run(code: str) -> str:
    """What ``code`` prints in a fresh Python without settings."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_it_is_imported_before_settings_and_without_the_optional_packages() -> None:
    modules = ["multidb", "multidb.pinning", "multidb.middleware", "multidb.backends.redis", "multidb.backends.cache"]
    blocked = "import sys; sys.modules.update(redis=None, django_redis=None, rest_framework=None)"
    assert run(f"{blocked}; import {', '.join(modules)}; print(multidb.get_replica.__name__)") == "get_replica"


def test_the_version_is_that_of_the_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert multidb.__version__ == project["version"] == ".".join(map(str, multidb.VERSION))


def test_the_version_is_in_the_changelog_below_what_is_not_released() -> None:
    headings = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    version, day = headings[1]
    assert version == multidb.__version__
    assert re.fullmatch(r" - \d{4}-\d\d-\d\d", day)


def test_every_public_name_is_there() -> None:
    assert [name for name in multidb.__all__ if not hasattr(multidb, name)] == []
