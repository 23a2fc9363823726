"""Ordinary suites pass unchanged with routing on, on real servers."""

from pathlib import Path

import pytest

from tests.ordinary import check_suite


@pytest.mark.parametrize("cluster", ["postgres_cluster", "mariadb_cluster"])
def test_an_ordinary_suite_passes_unchanged(request: pytest.FixtureRequest, tmp_path: Path, cluster: str) -> None:
    """Of ``manage.py test --parallel``, and of pytest."""
    entry = request.getfixturevalue(cluster).primary.django_settings()
    databases = dict.fromkeys(("default", "replica-1", "replica-2"), entry)
    check_suite(tmp_path, databases, ["test in parallel", "pytest"])
