"""The pages for who comes from another library have each name of it, and what they say of ours is so."""

import pkgutil
import re

import pytest
from django.http import HttpResponse

from multidb import _deprecated
from multidb.checks import SETTINGS
from multidb.pinning import mark_as_write
from tests.blocks import ROOT

PREDECESSOR = "docs/how-to/from-django-multidb-router.md"

# What a project may have set, imported or called: of django-multidb-router 0.11, django-replicated 2.7, pindb 0.1.12.
NAMES = {
    PREDECESSOR: """
        REPLICA_DATABASES SLAVE_DATABASES MULTIDB_PINNING_SECONDS MULTIDB_PINNING_COOKIE MULTIDB_PINNING_COOKIE_SECURE
        MULTIDB_PINNING_COOKIE_HTTPONLY MULTIDB_PINNING_COOKIE_SAMESITE
        multidb.VERSION multidb.__version__ multidb.DEFAULT_DB_ALIAS multidb.replicas multidb.get_replica
        multidb.get_slave multidb.DeprecationMixin multidb.ReplicaRouter multidb.ReplicaRouter.allow_syncdb
        multidb.PinningReplicaRouter multidb.MasterSlaveRouter multidb.PinningMasterSlaveRouter multidb.db_write
        multidb.this_thread_is_pinned
        multidb.middleware.PinningRouterMiddleware multidb.middleware.PinningRouterMiddleware.process_request
        multidb.middleware.PinningRouterMiddleware.process_response multidb.middleware.READ_ONLY_METHODS
        multidb.middleware.pinning_cookie multidb.middleware.pinning_cookie_secure
        multidb.middleware.pinning_cookie_httponly multidb.middleware.pinning_cookie_samesite
        multidb.middleware.pinning_seconds
        multidb.pinning.use_primary_db multidb.pinning.UsePrimaryDB multidb.pinning.use_master
        multidb.pinning.DeprecatedUseMaster multidb.pinning.db_write multidb.pinning.mark_as_write
        multidb.pinning.this_thread_is_pinned multidb.pinning.pin_this_thread multidb.pinning.unpin_this_thread
        response._db_write
    """,
    "docs/how-to/from-django-replicated.md": """
        REPLICATED_CACHE_BACKEND REPLICATED_CHECK_STATE_ON_WRITE REPLICATED_DATABASE_DOWNTIME
        REPLICATED_DATABASE_SLAVES REPLICATED_FORCE_MASTER_COOKIE_MAX_AGE REPLICATED_FORCE_MASTER_COOKIE_NAME
        REPLICATED_FORCE_MASTER_COOKIE_STATUS_CODES REPLICATED_FORCE_STATE_HEADER REPLICATED_MANAGE_ATOMIC_REQUESTS
        REPLICATED_READ_ONLY_DOWNTIME REPLICATED_READ_ONLY_TRIES REPLICATED_VIEWS_OVERRIDES django_replicated.settings
        django_replicated.router.ReplicationRouter django_replicated.utils.routers
        use_state revert init reset state set_state_change is_alive context
        DEFAULT_DB_ALIAS DOWNTIME SLAVES CHECK_STATE_ON_WRITE all_allowed_aliases
        django_replicated.utils.Routers django_replicated.utils.get_object_name
        django_replicated.middleware.ReplicationMiddleware forced_state
        django_replicated.middleware.ReplicationMiddleware.set_force_master_cookie
        handle_redirect_after_write check_state_override get_state_override is_override_matched set_non_atomic_dbs
        django_replicated.middleware.ReadOnlyMiddleware is_service_read_only request.service_is_readonly
        django_replicated.decorators.use_master django_replicated.decorators.use_slave
        django_replicated.decorators.use_state
        django_replicated.dbchecker.check_db django_replicated.dbchecker.is_alive
        django_replicated.dbchecker.is_writable django_replicated.dbchecker.db_is_alive
        django_replicated.dbchecker.db_is_writable
    """,
    "docs/how-to/from-pindb.md": """
        MASTER_DATABASES DATABASE_SETS PINDB_DELEGATE_ROUTERS PINDB_ENABLED PINDB_PINNING_COOKIE PINDB_PINNING_SECONDS
        pindb.__version__ pindb.GreedyPinDbRouter pindb.StrictPinDbRouter pindb.PinDbRouterBase delegate
        pindb.DummyRouter pindb.populate_replicas unmanaged_default
        pindb.is_enabled pindb.pin count_as_new pindb.unpin_all pindb.is_pinned pindb.get_pinned
        pindb.is_newly_pinned pindb.get_newly_pinned pindb.get_replica pindb.unpinned_replica pindb.with_replicas
        pindb.master pindb.with_masters pindb.PinDbException pindb.PinDbConfigError pindb.UnpinnedWriteException
        pindb.exceptions pindb.DB_SET_SIZES pindb.REPLICA_TEMPLATE pindb.middleware.PinDbMiddleware
        pindb.middleware.PINNING_COOKIE pindb.middleware.PINNING_SECONDS celery.signals.task_postrun
    """,
}

# Of which the predecessor's page says that they are gone.
GONE = {
    "multidb.DeprecationMixin",
    "multidb.pinning.DeprecatedUseMaster",
    "multidb.pinning.UsePrimaryDB",
}


@pytest.mark.parametrize("page", NAMES)
def test_each_name_of_the_other_library_is_in_the_first_column(page: str) -> None:
    on_the_page = {name for first, _ in rows((ROOT / page).read_text()) for name in names(first)}
    assert set(NAMES[page].split()) - on_the_page == set()


def test_what_stays_is_there() -> None:
    response = mark_as_write(HttpResponse())
    stays = rows(part("What stays"))
    assert [now for _, now in stays if not now.startswith("the same")] == []
    for name in [name for first, _ in stays for name in names(first)]:
        if name.startswith("response."):
            assert hasattr(response, name.removeprefix("response."))
        elif "." in name:
            pkgutil.resolve_name(name)
        else:
            assert name in (*SETTINGS, "REPLICA_DATABASES")


def test_the_old_names_are_all_that_there_are_and_the_new_ones_are_there() -> None:
    old = {name: names(new) for first, new in rows(part("Old names")) for name in names(first)}
    assert old.pop("SLAVE_DATABASES") == ["REPLICA_DATABASES"]
    assert {pkgutil.resolve_name(name) for name in old} == deprecated()
    for [new] in old.values():
        pkgutil.resolve_name(new)


def test_what_is_gone_is_not_there() -> None:
    """But for a module that has the name of what is gone."""
    gone = {name for first, _ in rows(part("What is gone")) for name in names(first)}
    assert gone == GONE | {"multidb.replicas"}
    for name in GONE:
        with pytest.raises(AttributeError):
            pkgutil.resolve_name(name)


def deprecated() -> set[object]:
    """What is defined in ``multidb/_deprecated.py``."""
    defined = {name: each for name, each in vars(_deprecated).items() if not name.startswith("_")}
    return {each for each in defined.values() if getattr(each, "__module__", "") == _deprecated.__name__}


def part(title: str) -> str:
    """What follows the words ``title`` in bold, to the next such words."""
    _, follows = (ROOT / PREDECESSOR).read_text().split(f"\n**{title}**")
    return follows.partition("\n**")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in ``text`` that begins with a name."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return [row for row in cells if names(row[0])]


def names(cell: str) -> list[str]:
    """The names between backticks in ``cell``: of a call, or of what is called with ``with`` or as a decorator."""
    return [name for code in re.findall(r"`([^`]+)`", cell) for name in re.findall(r"[A-Za-z_][\w.]*", code)]
