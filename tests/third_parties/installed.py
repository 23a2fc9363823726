"""Sites with third-party apps, which are installed while the tests of one module run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

OURS = "multidb.middleware.PinningRouterMiddleware"

# In the order of Django's template of a project, and ours where the README says.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    OURS,
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

Install = Callable[..., Any]


@contextmanager
def installed(blocker: DjangoDbBlocker, site: str, *labels: str, **others: Any) -> Iterator[None]:
    """Inside, the site ``tests.third_parties.sites.<site>`` is served, with the apps ``labels`` and their tables.

    ``others`` are more settings.
    """
    with (
        # An app may look at the settings when it is installed.
        override_settings(
            **{
                "MIDDLEWARE": MIDDLEWARE,
                "ROOT_URLCONF": f"tests.third_parties.sites.{site}",
                "STATIC_URL": "/static/",
                "TEMPLATES": TEMPLATES,
                **others,
            }
        ),
        override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, *labels]),
    ):
        with blocker.unblock():
            call_command("migrate", verbosity=0)
        yield
        with blocker.unblock():
            for config in [each for each in apps.get_app_configs() if each.name in labels]:
                _drop_tables(config.label)


def _drop_tables(label: str) -> None:
    from django.db.migrations.loader import MigrationLoader

    if label in MigrationLoader(None).migrated_apps:
        call_command("migrate", label, "zero", verbosity=0)


def before(middleware: str, other: str, listed: Sequence[str] = MIDDLEWARE) -> list[str]:
    """``listed`` with ``middleware`` put before ``other``."""
    place = listed.index(other)
    return [*listed[:place], middleware, *listed[place:]]


def after(middleware: str, other: str, listed: Sequence[str] = MIDDLEWARE) -> list[str]:
    """``listed`` with ``middleware`` put after ``other``."""
    place = listed.index(other) + 1
    return [*listed[:place], middleware, *listed[place:]]
