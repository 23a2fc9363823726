"""Route, and Settled: where the reads of a request have gone, so that it need not be decided for each that follows."""

import threading
from collections.abc import Callable
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
    """What ``model`` is called, which may be no model, as Django's of a cache in the database, or any object."""
    known = getattr(getattr(model, "_meta", None), "label", None)
    return str(known or getattr(model, "__name__", type(model).__name__))


captures: Final[list[list[Route]]] = []
"""Lists into which each read that is decided in this process goes. For tests: nothing is settled meanwhile."""


class Notes(Protocol):
    """What each routed read of a request is noted in: a list of routes, for example."""

    def append(self, route: Route, /) -> None: ...


class Answer:
    """Reads of one model go to ``alias``, as ``router`` has decided, and are noted in ``notes``.

    If ``primary`` is given, that is so only in ``thread``, whose connection to the primary it is, while no transaction
    is open there but ``block``; and only while ``still()``, if that is given too.
    """

    # No dataclass: to make one takes as long as all else in this module, and one that is frozen would be slow to fill.
    __slots__ = ("alias", "block", "notes", "primary", "route", "router", "still", "thread")

    def __init__(
        self,
        alias: str,
        router: object,
        route: Route,
        notes: tuple[Notes, ...] = (),
        primary: BaseDatabaseWrapper | None = None,
        thread: object = None,
        block: object = None,
        still: Callable[[], bool] | None = None,
    ) -> None:
        self.alias = alias
        self.router = router
        self.route = route
        self.notes = notes
        self.primary = primary
        self.thread = thread
        self.block = block
        self.still = still

    def of(self, model: Any) -> "Answer":
        """The same for another model, as which its reads are noted."""
        known = self.route
        route = Route(known.alias, known.reason, model, known.primary, known.is_dry_run)
        return Answer(self.alias, self.router, route, self.notes, self.primary, self.thread, self.block, self.still)


_NOBODY: Any = object()

UNDECIDED: Final = Answer("", None, Route("", "", None, ""), primary=_NOBODY, thread=_NOBODY)
"""No router has decided this: it holds in no thread."""

NOTHING: Final = None, UNDECIDED


class Settled:
    """The answers of one request, by model; or by model and primary, where each read is asked for its primary. Safe in
    threads.

    ``of_any``: for a primary, ``None`` where no read is asked for it, one that stands for each model, but for those of
    sessions, and what ``changes`` was when it was decided.
    """

    def __init__(self) -> None:
        self.answers: dict[Any, Answer] = {}
        self.of_any: dict[str | None, tuple[object, Answer]] = {}
        self.changes: object = None

    def keep(
        self, model: Any, answer: Answer, changes: object, is_of_any: bool = False, primary: str | None = None
    ) -> None:
        """Keep ``answer`` for ``model``, unless something has changed since ``changes`` was what it is."""
        self.answers[model if primary is None else (model, primary)] = answer
        if is_of_any:
            self.of_any[primary] = changes, answer
        if self.changes is not changes:
            self._clear()

    def known(self, router: object, model: Any, primary: str | None) -> Answer:
        """The answer of ``router`` for ``model``, of which it has decided nothing, or reads have been asked for their
        primary, which is ``primary``; also that for another model, where it stands for this one too.
        """
        if not isinstance(model, type):
            return UNDECIDED
        if primary is not None:
            answer = self.answers.get((model, primary), UNDECIDED)
            if answer.router is router:
                return answer
        changes, answer = self.of_any.get(primary, NOTHING)
        if answer.router is not router or changes is not self.changes or is_session(model):
            return UNDECIDED
        if answer.notes:
            answer = answer.of(model)
        self.keep(model, answer, changes, primary=primary)
        return answer

    def forget(self) -> None:
        """Something has changed: whoever is deciding at this moment keeps nothing."""
        self.changes = object()
        self._clear()

    def _clear(self) -> None:
        self.of_any.clear()
        self.answers.clear()


def is_session(model: Any) -> bool:
    """Is ``model`` the table of a database session?

    Its row is read from the primary: a lagging one would log a user out, or be saved over a newer one.
    """
    return hasattr(model, "get_session_store_class")


class Here(threading.local):
    """``thread`` is another object in each thread, also in one that has got the number of one that has ended."""

    def __init__(self) -> None:
        self.thread = object()


here = Here()
