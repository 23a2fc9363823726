"""The page, and what its buttons do."""

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import get_user_model, login, logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from board import status
from board.databases import replication
from board.forms import LARGEST_LAG, LEAST_LAG, PostForm, lag_from
from board.models import LONGEST_TEXT, Post
from board.notices import notice_for
from board.observing import reasons
from board.pin_status import PinStatus, pinning_rule
from board.replication import ReplicaUnavailable
from board.stores import CHOICES, SwitchedPinStore
from board.watching import note_read, timeline
from multidb.conf import conf
from multidb.pinning import db_read

MOST_POSTS = 30

# Nothing is loaded from another host.
POLICY = "default-src 'self'; frame-ancestors 'self'; form-action 'self'"


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The board."""
    return _page(request, PostForm())


@require_POST
@never_cache
def add_post(request: HttpRequest) -> HttpResponse:
    """Save a post, then show the page: the ``GET`` that follows may miss it."""
    form = PostForm(request.POST)
    if not form.is_valid():
        response = _page(request, form, status=400)
        response._db_write = False
        return response
    form.instance.author = request.user if request.user.is_authenticated else None
    post = form.save()
    timeline().note_write(post.pk)
    return redirect(f"{reverse('page')}?posted={post.pk}")


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in as one of the seeded users, without a password."""
    username = request.POST.get("username")
    if username not in settings.BOARD_TOKENS.values():
        return _refusal(f"Nobody is called {username!r}. Choose one of {', '.join(settings.BOARD_TOKENS.values())}.")
    login(request, get_user_model().objects.get(username=username), "django.contrib.auth.backends.ModelBackend")
    return redirect("page")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Sign out."""
    logout(request)
    return redirect("page")


@require_POST
@db_read
def set_store(request: HttpRequest) -> HttpResponse:
    """Switch the pin store, for everybody. Writes nothing, so it pins nobody."""
    try:
        SwitchedPinStore.switch(request.POST.get("store", ""))
    except ValueError as error:
        return _refusal(str(error))
    return redirect("page")


@require_POST
@db_read
def set_lag(request: HttpRequest) -> HttpResponse:
    """Keep a replica that far behind, for everybody. Writes nothing, so it pins nobody."""
    return _tell_replica(request, lambda alias: replication().set_lag(alias, lag_from(request.POST.get("lag", ""))))


@require_POST
@db_read
def break_replica(request: HttpRequest) -> HttpResponse:
    """Have a replica refuse every connection, until it is mended. Pins nobody."""
    return _tell_replica(request, replication().break_replica)


@require_POST
@db_read
def mend_replica(request: HttpRequest) -> HttpResponse:
    """Have a replica answer again. Pins nobody."""
    return _tell_replica(request, replication().mend_replica)


@require_safe
@never_cache
def show_status(request: HttpRequest) -> JsonResponse:
    """What changes while the page is open."""
    return JsonResponse(status.everything(request))


def refuse_old_page(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say what to do, where the token of a page is that of another visitor, or else Django's ``reason``."""
    if "incorrect" not in reason:
        return _refusal(reason, status=403)
    return _refusal("You have signed in or out in another tab. Go back, and try again.", status=403)


def _tell_replica(request: HttpRequest, tell: Callable[[str], None]) -> HttpResponse:
    """``tell`` the replica that the form names what to do."""
    alias = request.POST.get("replica")
    if alias not in settings.REPLICA_DATABASES:
        return _refusal(f"There is no replica {alias!r}. Choose one of {', '.join(settings.REPLICA_DATABASES)}.")
    try:
        tell(alias)
    except ValueError as error:
        return _refusal(str(error))
    except ReplicaUnavailable as error:
        return _refusal(str(error), status=503)
    return redirect("page")


def _page(request: HttpRequest, form: PostForm, **response: int) -> HttpResponse:
    posted = _posted(request)
    with request.observed.aside():
        is_on_primary = None if posted is None else status.is_on_primary(posted)
        replicas = status.replicas()
    began = time.monotonic()
    posts = list(Post.objects.select_related("author")[:MOST_POSTS])
    note_read(request.observed, posts, began)
    route = request.observed.route_of(Post)
    signed_in_as = request.user.username  # Loads the user, so that the query is in the list below.
    with request.observed.aside():
        pin = PinStatus.of(request)
    behind = {replica["alias"]: replica["behind"] for replica in replicas}
    notice = None
    if posted is not None:
        listed = [post.pk for post in posts]
        notice = notice_for(posted, is_on_primary, listed, route, behind, pin, SwitchedPinStore.in_use.name)
    shown = {
        "posts": posts,
        "route": route,
        "explanation": reasons()[route.reason],
        "form": form,
        "notice": notice,
        "signed_in_as": signed_in_as,
        "pin": status.pin(pin),
        "replicas": replicas,
        "queries": request.observed.queries,
        "timeline": status.time_line(),
    }
    rendered = render(request, "board/page.html", {**_always_shown(), **shown}, **response)
    rendered["Content-Security-Policy"] = POLICY
    return rendered


def _posted(request: HttpRequest) -> int | None:
    """The number of the post that the address names as just made, if it names any."""
    posted = request.GET.get("posted", "")
    return int(posted) if posted.isascii() and posted.isdigit() and len(posted) < 19 else None


def _always_shown() -> dict[str, object]:
    """What does not depend on who asks."""
    return {
        "longest_text": LONGEST_TEXT,
        "usernames": settings.BOARD_TOKENS.values(),
        "choices": CHOICES.values(),
        "in_use": SwitchedPinStore.in_use,
        "redis_name": status.redis_name(),
        "pinning_seconds": conf.pinning_seconds,
        "pinning_rule": pinning_rule(),
        "replication": replication(),
        "least_lag": LEAST_LAG,
        "largest_lag": LARGEST_LAG,
        "reasons": reasons().items(),
    }


def _refusal(problem: str, status: int = 400) -> HttpResponse:
    """Says what is wrong. Nothing was written, so it pins nobody."""
    response = HttpResponse(f"{problem}\n", status=status, content_type="text/plain; charset=utf-8")
    response._db_write = False
    return response
