"""MultidbConfig.ready(): system checks, connection hooks and test mirrors."""

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from multidb import checks, database_checks, middleware_checks
from multidb.conf import conf
from multidb.writes import watch_connections


class MultidbConfig(AppConfig):
    name = "multidb"
    verbose_name = "multidb"

    def ready(self) -> None:
        register("multidb")(checks.check_settings)
        register("multidb", deploy=True)(checks.check_deployment)
        register("multidb")(middleware_checks.check_middleware)
        register("multidb")(database_checks.check_vendors)
        register("multidb", deploy=True)(database_checks.check_timeouts)
        register(Tags.database)(database_checks.check_databases)
        watch_connections()
        _mirror_replicas_in_tests()


def _mirror_replicas_in_tests() -> None:
    """Make each replica a mirror of its primary in tests, unless the project has set another.

    https://docs.djangoproject.com/en/stable/topics/testing/advanced/#topics-testing-primaryreplica
    """
    try:
        replica_databases = conf.replica_databases
    except ImproperlyConfigured:
        return  # manage.py check says what is wrong; a command that needs no replica goes on.
    for primary, replicas in replica_databases.items():
        for replica in replicas:
            test = connections.settings[replica]["TEST"]
            test["MIRROR"] = test["MIRROR"] or primary
