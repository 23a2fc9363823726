"""A replica has died under a query of the view: run the view once more."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from multidb import routing
from multidb.log import logger
from multidb.request_routing import RequestRouting


def run_again(request: HttpRequest, exception: Exception, middleware: type) -> HttpResponseBase | None:
    """The response of the view of ``request`` when it is run once more, after ``exception`` has ended it.

    ``None`` if it must not be: unless a replica has died under it, and it is a request that only reads, has written
    nothing and has not been run again before. ``middleware`` is the class that asks.
    """
    state = routing.current().routing
    if not isinstance(state, RequestRouting) or not isinstance(exception, OperationalError | InterfaceError):
        return None
    if not (state.is_of(request) and state.may_run_again() and _is_as_it_came(request)):
        return None
    is_rendering = state.is_rendering
    if is_rendering and _prepare_templates(but=middleware):
        return None  # Nobody could ask them to prepare the new response too.
    dead = state.lost_replica(exception)
    if dead is None:
        return None
    state.begin_again()
    match: Any = request.resolver_match
    # Not the path, which the client chose: it may hold a secret, or a line break.
    logger.info("Replica %s died under the view %s, which is run once more.", dead, match.view_name)
    response: HttpResponseBase = _view(match.func, dead)(request, *match.args, **match.kwargs)
    # Django renders it, unless it takes the place of a response that failed to render.
    return response.render() if is_rendering and hasattr(response, "render") else response


def _view(view: Callable[..., Any], dead: str) -> Callable[..., Any]:
    """``view`` as Django's handler runs it, but without a transaction on the replica ``dead``, where
    ``ATOMIC_REQUESTS`` asks for one.
    """
    called = async_to_sync(view) if iscoroutinefunction(view) else view

    def run(*args: Any, **kwargs: Any) -> Any:
        return called(*args, **kwargs)

    run.__wrapped__ = view  # type: ignore[attr-defined]  # functools.wraps would copy an async view's mark as well
    run._non_atomic_requests = {*getattr(view, "_non_atomic_requests", ()), dead}  # type: ignore[attr-defined]  # Django's mark
    return BaseHandler().make_view_atomic(run)


def _prepare_templates(but: type) -> bool:
    """Has the project middleware with a ``process_template_response`` of its own, ``but`` for the one of this class?"""
    classes = [each for each in map(import_string, settings.MIDDLEWARE) if each is not but]
    prepare = {getattr(each, "process_template_response", None) for each in (*classes, *but.__mro__[:-1])}
    return len(prepare - {None}) > 1


def _is_as_it_came(request: HttpRequest) -> bool:
    """Can ``request`` be given to the view again: its body to be read, and no message or change of the session in it
    that would be there twice?
    """
    is_parsed = hasattr(request, "_post") and not request.FILES
    has_body = not getattr(request, "_read_started", False) or hasattr(request, "_body") or is_parsed
    session_changed = getattr(getattr(request, "session", None), "modified", False)
    messages_added = getattr(getattr(request, "_messages", None), "added_new", False)
    return has_body and not session_changed and not messages_added
