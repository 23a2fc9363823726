"""Route, and Settled: where the reads of a request have gone, so that it need not be decided for each that follows."""

import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper


class Route(NamedTuple):
    """Where one read was sent, and by which rule. In a dry run where it would have been, and it went to ``primary``."""

    alias: str
    reason: str
    model: Any
    primary: str
    is_dry_run: bool = False

    @property
    def destination(self) -> str:
        """The alias that the read was really sent to."""
        return self.primary if self.is_dry_run else self.alias

    @property
    def label(self) -> str:
        """What the model is called: ``shop.Item``."""
        return label(self.model)


def label(model: Any) -> str:
    """What ``model`` is called, which may be no model, or an object that a router was asked about."""
    meta = getattr(model, "_meta", None)
    return getattr(model, "__name__", type(model).__name__) if meta is None else str(meta.label)


captures: Final[list[list[Route]]] = []
"""Lists into which each routed read of this process goes, whoever makes it. For tests: nothing is settled meanwhile."""


class Notes(Protocol):
    """What each routed read of a request is noted in: a list of routes, for example."""

    def append(self, route: Route, /) -> None: ...


class Answer:
    """Reads of one model go to ``alias``, as ``router`` has decided, and are noted in ``notes``.

    If ``primary`` is given, that is so only in ``thread``, whose connection to the primary it is, while no transaction
    is open there but ``block``. If ``attributes`` of a request are given too, only while these have the same ``user``,
    and, if that has ``lazy`` attributes, what is ``known`` of it.
    """

    # No dataclass: to make one takes as long as all else in this module, and one that is frozen would be slow to fill.
    __slots__ = (
        "alias",
        "attributes",
        "block",
        "known",
        "lazy",
        "notes",
        "primary",
        "route",
        "router",
        "thread",
        "user",
    )

    def __init__(
        self,
        alias: str,
        router: object,
        route: Route,
        notes: tuple[Notes, ...] = (),
        primary: BaseDatabaseWrapper | None = None,
        thread: object = None,
        block: object = None,
        attributes: Mapping[str, Any] | None = None,
        user: object = None,
        lazy: Mapping[str, Any] | None = None,
        known: object = None,
    ) -> None:
        self.alias = alias
        self.router = router
        self.route = route
        self.notes = notes
        self.primary = primary
        self.thread = thread
        self.block = block
        self.attributes = attributes
        self.user = user
        self.lazy = lazy
        self.known = known


class Settled:
    """The answers of one request, by model. Safe in threads."""

    def __init__(self) -> None:
        self.answers: dict[Any, Answer] = {}
        self.changes: object = None

    def keep(self, answer: Answer, changes: object) -> None:
        """Keep ``answer``, unless something has changed since ``changes`` was what it is."""
        self.answers[answer.route.model] = answer
        if self.changes is not changes:
            self.answers.clear()

    def forget(self) -> None:
        """Something has changed: whoever is deciding at this moment keeps nothing."""
        self.changes = object()
        self.answers.clear()


class Here(threading.local):
    """``thread`` is another object in each thread, also in one that has got the number of one that has ended."""

    def __init__(self) -> None:
        self.thread = object()


here = Here()
