"""ReplicaRouter and PinningReplicaRouter: where a query goes, by the first rule that applies."""

from collections.abc import Callable, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, router

from multidb.replicas import choose, topology
from multidb.routing import OUTSIDE, Forced, Route, Routing, current


class ReplicaRouter:
    """Each read goes to the next replica, in turn; each write to the primary.

    A model's primary is what the routers listed after this one answer to ``db_for_write``, or ``default``. Of an alias
    that is no primary and no replica in ``REPLICA_DATABASES`` this router knows nothing, and answers ``None``.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        primary = self.primary_for(model, **hints)
        if primary not in topology().primaries:
            return None
        alias, reason = self.route(model, primary)
        routes = current().routing.routes
        if routes is not None:
            routes.append(Route(alias, reason, model, primary))
        return alias

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return self.primary_for(model, **hints)

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool | None:
        """``True`` for two objects of one primary, wherever each was read."""
        primary = self._primary_of(obj1)
        ours = primary in topology().primaries
        return True if ours and primary == self._primary_of(obj2) else None

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        """``False`` for a replica; for a primary what the routers after this one say, or ``True``.

        ``None`` while ``REPLICA_DATABASES`` is impossible, which ``manage.py check`` reports.
        """
        try:
            known = topology()
        except ImproperlyConfigured:
            return None  # Django's own checks ask this too, and must live to see ours report it.
        if db in known.primary_of:
            return False
        if db not in known.primaries:
            return None
        for allow_migrate in self._later("allow_migrate"):
            allowed = allow_migrate(db, app_label, model_name=model_name, **hints)
            if allowed is not None:
                return bool(allowed)
        return True

    def allow_syncdb(self, db: str, model: Any) -> bool | None:
        """The name that ``allow_migrate`` had before Django 1.7, kept from django-multidb-router."""
        return self.allow_migrate(db, model)

    def route(self, model: Any, primary: str) -> tuple[str, str]:
        """The alias for a read of ``model``, whose primary is ``primary``, and the reason."""
        return _on_replica(choose(primary), primary, "replica")

    def primary_for(self, model: Any, **hints: Any) -> str:
        """The alias that takes the writes of ``model``."""
        for db_for_write in self._later("db_for_write"):
            alias = db_for_write(model, **hints)
            if alias:
                return topology().primary_of.get(alias, str(alias))
        return DEFAULT_DB_ALIAS

    def _primary_of(self, obj: Any) -> str:
        """The primary that ``obj`` was read from, or will be saved to."""
        alias = obj._state.db or self.primary_for(type(obj), instance=obj)
        return topology().primary_of.get(alias, alias)

    def _later(self, method: str) -> Iterator[Callable[..., Any]]:
        """``method`` of each router that is listed after this one and has it."""
        listed, after = self._listed_and_after
        if listed is not router.routers:
            listed = router.routers
            places = [place for place, each in enumerate(listed) if each is self]
            after = listed[places[0] + 1 :] if places else []
            self._listed_and_after = listed, after
        for each in after:
            if hasattr(each, method):
                yield getattr(each, method)

    # One value, so that no thread sees one half of it.
    _listed_and_after: tuple[list[Any] | None, list[Any]] = (None, [])


class PinningReplicaRouter(ReplicaRouter):
    """Reads go to the request's replica, or to the primary for whoever wrote a moment ago; writes to the primary."""

    def route(self, model: Any, primary: str) -> tuple[str, str]:
        routing, forced, *_ = current()
        if forced is Forced.PRIMARY or _is_session(model):
            return primary, "forced"
        if forced is Forced.REPLICA:
            return _on_replica(routing.replica(primary), primary, "forced")
        rules = OUTSIDE if forced is Forced.UNPINNED else routing
        if rules.writes:
            return primary, "method"
        if rules.wrote or primary in rules.written or (rules.ignored_tables and _table(model) in rules.ignored_tables):
            return primary, "wrote"
        if _in_transaction(routing, primary):
            return primary, "transaction"
        if rules.is_pinned(primary):
            return primary, "pinned"
        if rules.store_down:
            return primary, "store down"
        return _on_replica(routing.replica(primary), primary, "replica")


def _on_replica(alias: str, primary: str, reason: str) -> tuple[str, str]:
    return alias, "no replica" if alias == primary else reason


def _table(model: Any) -> str | None:
    meta = getattr(model, "_meta", None)
    return meta and str(meta.db_table).replace('"', "")


def _is_session(model: Any) -> bool:
    """Is ``model`` the table of a database session?

    Its row is read from the primary: a lagging one would log a user out, or be saved over a newer one.
    """
    return hasattr(model, "get_session_store_class")


def _in_transaction(routing: Routing, primary: str) -> bool:
    """Is a transaction open on ``primary`` that the code asked for, and not ``TestCase`` or ``ATOMIC_REQUESTS``?"""
    connection = connections[primary]
    if not connection.in_atomic_block:
        by_default = connection.settings_dict["AUTOCOMMIT"]
        return bool(by_default and connection.connection and not connection.autocommit)
    blocks: list[Any] = connection.atomic_blocks
    return any(not block._from_testcase and not routing.is_request_block(block) for block in blocks)
