"""ReplicaRouter and PinningReplicaRouter: where a query goes, by the first rule that applies."""

from collections.abc import Callable, Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, router

from multidb.log import say_once
from multidb.mirrors import run_on
from multidb.replicas import choose, topology
from multidb.rollout import Mode
from multidb.routes import UNDECIDED, Route, captures, here, is_session
from multidb.routing import OUTSIDE, Forced, Routing, current


class Later:
    """What the routers say that are ``listed`` after ``after``.

    ``tell_primary``: each read has to be asked for its primary, of them or of a subclass.
    """

    def __init__(self, after: "ReplicaRouter | None" = None, listed: Sequence[Any] = ()) -> None:
        self.listed = listed
        places = [place for place, each in enumerate(listed) if each is after]
        routers = listed[places[0] + 1 :] if places else ()
        self.db_for_write = _methods(routers, "db_for_write")
        self.allow_migrate = _methods(routers, "allow_migrate")
        self.tell_primary = bool(self.db_for_write) or (after is not None and _tells_primary_itself(after))


def _tells_primary_itself(router: "ReplicaRouter") -> bool:
    return type(router).primary_for is not ReplicaRouter.primary_for


def _methods(routers: Sequence[Any], name: str) -> list[Callable[..., Any]]:
    return [getattr(each, name) for each in routers if hasattr(each, name)]


class ReplicaRouter:
    """Each read goes to the next replica, in turn; each write to the primary.

    A model's primary is what the routers listed after this one answer to ``db_for_write``, or ``default``. Of an alias
    that is no primary and no replica in ``REPLICA_DATABASES`` this router knows nothing, and answers ``None``.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        route = self._routed(model, self.primary_for(model, **hints))
        return None if route is None else run_on(route, route.destination)

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
        for allow_migrate in self._later().allow_migrate:
            allowed = allow_migrate(db, app_label, model_name=model_name, **hints)
            if allowed is not None:
                return bool(allowed)
        return True

    def allow_syncdb(self, db: str, model: Any) -> bool | None:
        """The name that ``allow_migrate`` had before Django 1.7, kept from django-multidb-router."""
        return self.allow_migrate(db, model)

    def route(self, model: Any, primary: str) -> tuple[str, str]:
        """The alias for a read of ``model``, whose primary is ``primary``, and the reason."""
        if current().routing.mode is Mode.OFF:
            return primary, "off"
        return _on_replica(choose(primary), primary, "replica")

    def primary_for(self, model: Any, **hints: Any) -> str:
        """The alias that takes the writes of ``model``."""
        for db_for_write in self._later().db_for_write:
            alias = db_for_write(model, **hints)
            if alias:
                return topology().primary_of.get(alias, str(alias))
        return DEFAULT_DB_ALIAS

    def _primary_of(self, obj: Any) -> str:
        """The primary that ``obj`` was read from, or will be saved to."""
        alias = obj._state.db or self.primary_for(type(obj), instance=obj)
        return topology().primary_of.get(alias, alias)

    def _routed(self, model: Any, primary: str) -> Route | None:
        if primary not in topology().primaries:
            return None
        alias, reason = self.route(model, primary)
        state = current().routing
        route = Route(alias, reason, model, primary, state.is_dry_run)
        for notes in (*state.notes, *captures):
            notes.append(route)
        return route

    def _later(self) -> "Later":
        if self._later_routers.listed is not router.routers:
            _say_that_the_app_is_missing()
            self._later_routers = Later(self, router.routers)
        return self._later_routers

    _later_routers = Later()


class PinningReplicaRouter(ReplicaRouter):
    """Reads go to the request's replica, or to the primary for whoever wrote a moment ago; writes to the primary."""

    def __init__(self) -> None:
        super().__init__()
        # Django looks this up for each query: on the object it is found bound, which takes less.
        self.db_for_read = self.db_for_read  # type: ignore[method-assign]  # by itself

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        scope = current()
        asked = None
        try:
            answer = scope.answers[model]
        except (KeyError, TypeError):  # Also of an object that has no hash, as one that is not saved.
            answer = UNDECIDED
        if answer.router is not self:
            if self._later().tell_primary:
                asked = self.primary_for(model, **hints)
            answer = scope.routing.settled.known(self, model, asked) if scope.forced is None else UNDECIDED
        primary = answer.primary
        if primary is None or (
            answer.thread is here.thread
            and (
                primary.autocommit
                or (primary.connection is None and not primary.in_atomic_block)
                or primary.atomic_blocks[-1:] == [answer.block]
            )
            and (answer.still is None or answer.still())
        ):
            if answer.notes:  # To begin a loop over nothing costs more than to ask.
                for notes in answer.notes:
                    notes.append(answer.route)
            return answer.alias
        changes = scope.routing.settled.changes
        route = self._routed(model, asked or self.primary_for(model, **hints))
        if route is None:
            return None
        destination = route.destination
        alias = run_on(route, destination)
        is_ours = type(self).route is PinningReplicaRouter.route
        if alias == destination and scope.forced is None and not captures and is_ours:
            scope.routing.settle(route, alias, self, changes, asked)
        return alias

    def route(self, model: Any, primary: str) -> tuple[str, str]:
        scope = current()
        state = scope.routing
        if scope.forced is Forced.PRIMARY or is_session(model):
            return primary, "forced"
        if state.mode is Mode.OFF:
            return primary, "off"
        if scope.forced is Forced.REPLICA:
            return _on_replica(state.replica(primary), primary, "forced")
        rules = OUTSIDE if scope.forced is Forced.UNPINNED else state
        if rules.writes:
            return primary, "method"
        if rules.wrote or primary in rules.written or (rules.ignored_tables and _table(model) in rules.ignored_tables):
            return primary, "wrote"
        if _in_transaction(state, primary):
            return primary, "transaction"
        if reason := rules.pin_reason(primary):
            return primary, reason
        return _on_replica(state.replica(primary), primary, "replica")


def _say_that_the_app_is_missing() -> None:
    """No check can: without the app there is none."""
    if apps.apps_ready and not apps.is_installed("multidb"):
        say_once(
            '"multidb" is not in INSTALLED_APPS, so manage.py check says nothing of its settings, and replicas are '
            "no mirrors in tests. Add it."
        )


def _on_replica(alias: str, primary: str, reason: str) -> tuple[str, str]:
    return alias, "no replica" if alias == primary else reason


def _table(model: Any) -> str | None:
    meta = getattr(model, "_meta", None)
    return meta and str(meta.db_table).replace('"', "")


def _in_transaction(state: Routing, primary: str) -> bool:
    """Is a transaction open on ``primary`` that the code asked for, and not ``TestCase`` or ``ATOMIC_REQUESTS``?"""
    connection = connections[primary]
    if not connection.in_atomic_block:
        by_default = connection.settings_dict["AUTOCOMMIT"]
        return bool(by_default and connection.connection and not connection.autocommit)
    blocks: list[Any] = connection.atomic_blocks
    return any(not block._from_testcase and not state.is_request_block(block) for block in blocks)
