"""manage.py check: whether the middleware and the routers are there, and in their places."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import suppress

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error, Warning
from django.db import router
from django.utils.module_loading import import_string

from multidb.backends import get_pin_store
from multidb.backends.session import SessionPinStore
from multidb.conf import conf
from multidb.managers import ReplicaManager
from multidb.middleware import PinningRouterMiddleware
from multidb.routers import PinningReplicaRouter, ReplicaRouter
from multidb.setting_error import UNIMPORTABLE, if_possible

OURS = f"{PinningRouterMiddleware.__module__}.{PinningRouterMiddleware.__name__}"

# Those of Django that read from the database themselves, on the way in or out, and not only when a view asks.
READERS = (
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
)


def check_middleware(**kwargs: object) -> list[CheckMessage]:
    """What is missing in ``MIDDLEWARE`` and ``DATABASE_ROUTERS``, or is in the wrong place there."""
    middleware = _middleware()
    return [message for check in (_missing, _place, _repeated) for message in check(middleware)] + list(_order())


def _missing(middleware: list[type]) -> Iterator[CheckMessage]:
    pins = any(issubclass(each, PinningRouterMiddleware) for each in middleware)
    routes = any(isinstance(each, PinningReplicaRouter) for each in router.routers)
    if not pins and callable(if_possible(lambda: conf.routing)):
        yield Warning(
            "MULTIDB_ROUTING is a function of the request, but MIDDLEWARE has no PinningRouterMiddleware: nobody asks "
            "it, and every read goes to the primary.",
            hint="Add multidb.middleware.PinningRouterMiddleware to MIDDLEWARE, or set True, False or 'dry run'.",
            id="multidb.W036",
        )
    if routes and not pins:
        yield Warning(
            "DATABASE_ROUTERS has PinningReplicaRouter, but MIDDLEWARE has no PinningRouterMiddleware: "
            "nobody is pinned, and a client may miss its own write.",
            hint=_where_it_belongs(),
            id="multidb.W004",
        )
    if pins and not routes and not _has_replica_managers():
        yield Warning(
            "MIDDLEWARE has PinningRouterMiddleware, but nothing routes by its pins: DATABASE_ROUTERS has no "
            "PinningReplicaRouter, and no model a ReplicaManager.",
            hint="Add multidb.PinningReplicaRouter to DATABASE_ROUTERS.",
            id="multidb.W005",
        )


def _place(middleware: list[type]) -> Iterator[CheckMessage]:
    ours = _first(middleware, lambda each: issubclass(each, PinningRouterMiddleware))
    sessions = _first(middleware, lambda each: issubclass(each, SessionMiddleware))
    if ours is None:
        return
    if isinstance(if_possible(get_pin_store), SessionPinStore) and (sessions is None or ours < sessions):
        yield Error(
            "MULTIDB_PIN_STORE is SessionPinStore, but PinningRouterMiddleware is not after SessionMiddleware in "
            "MIDDLEWARE: the session is saved before the pin is in it.",
            hint="Put django.contrib.sessions.middleware.SessionMiddleware before it.",
            id="multidb.E026",
        )
    elif sessions is not None and ours < sessions:
        yield Warning(
            "PinningRouterMiddleware is before SessionMiddleware in MIDDLEWARE: what is read between the two is read "
            "before anybody can tell whose request it is, and a session that is saved is a write of the request.",
            hint="Put multidb.middleware.PinningRouterMiddleware after it.",
            id="multidb.W037",
        )
    for each in middleware[:ours]:
        if _reads(each):
            yield Warning(
                f"{each.__name__}, which reads from the database, is before PinningRouterMiddleware in MIDDLEWARE: its "
                "reads go to a replica even for a client that has just written.",
                hint="Put multidb.middleware.PinningRouterMiddleware before it, and after SessionMiddleware.",
                id="multidb.W038",
            )


def _repeated(middleware: list[type]) -> Iterator[CheckMessage]:
    ours = [f"{each.__module__}.{each.__name__}" for each in middleware if issubclass(each, PinningRouterMiddleware)]
    if len(ours) > 1:
        yield Warning(
            f"MIDDLEWARE has PinningRouterMiddleware more than once ({', '.join(ours)}): each begins and ends the "
            "routing of the request.",
            hint="Take out all but one, and have that right after SessionMiddleware.",
            id="multidb.W041",
        )


def _order() -> Iterator[CheckMessage]:
    pins = [isinstance(each, PinningReplicaRouter) for each in router.routers]
    before = router.routers[: pins.index(True)] if True in pins else []
    for each in before:
        if isinstance(each, ReplicaRouter) and type(each).db_for_read is ReplicaRouter.db_for_read:
            yield Warning(
                f"DATABASE_ROUTERS has {type(each).__name__} before PinningReplicaRouter: it sends every read to a "
                "replica, and a client may miss its own write.",
                hint=f"Take {type(each).__name__} out of DATABASE_ROUTERS.",
                id="multidb.W040",
            )


def _where_it_belongs() -> str:
    close = difflib.get_close_matches(OURS, settings.MIDDLEWARE, n=1, cutoff=0.8)
    if close:
        return f"MIDDLEWARE has {close[0]!r}: did you mean {OURS}?"
    return f"Add {OURS} to MIDDLEWARE, after SessionMiddleware."


def _first(middleware: list[type], is_it: Callable[[type], bool]) -> int | None:
    return next((place for place, each in enumerate(middleware) if is_it(each)), None)


def _reads(middleware: type) -> bool:
    """By its name, for some of them cannot be imported where their app is not installed."""
    return any(f"{base.__module__}.{base.__qualname__}" in READERS for base in middleware.__mro__)


def _middleware() -> list[type]:
    """The classes in ``MIDDLEWARE``; Django reports what cannot be imported when it starts to serve."""
    found = []
    for path in settings.MIDDLEWARE:
        with suppress(*UNIMPORTABLE):
            found.append(import_string(path))
    return [each for each in found if isinstance(each, type)]


def _has_replica_managers() -> bool:
    return any(isinstance(manager, ReplicaManager) for model in apps.get_models() for manager in model._meta.managers)
