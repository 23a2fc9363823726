"""The page, and what its buttons do."""

from django.conf import settings
from django.contrib.auth import get_user_model, login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from board import status
from board.databases import replicator
from board.forms import LARGEST_LAG, LEAST_LAG, PostForm, lag_from
from board.models import LONGEST_TEXT, Post
from board.notices import notice_for
from board.observing import REASONS
from board.stores import CHOICES, SwitchedPinStore
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
    alias = request.POST.get("replica")
    if alias not in settings.REPLICA_DATABASES:
        return _refusal(f"There is no replica {alias!r}. Choose one of {', '.join(settings.REPLICA_DATABASES)}.")
    try:
        replicator().set_lag(alias, lag_from(request.POST.get("lag", "")))
    except ValueError as error:
        return _refusal(str(error))
    return redirect("page")


@require_safe
@never_cache
def show_status(request: HttpRequest) -> JsonResponse:
    """What changes while the page is open."""
    return JsonResponse(status.everything(request))


def _page(request: HttpRequest, form: PostForm, **response: int) -> HttpResponse:
    behind = status.behind()
    posts = list(Post.objects.select_related("author")[:MOST_POSTS])
    route = request.observed.route_of(Post)
    signed_in_as = request.user.username  # Loads the user, so that the query is in the list below.
    pin = status.pin(request)
    posted = request.GET.get("posted", "")
    notice = None
    if posted.isascii() and posted.isdigit() and len(posted) < 19:
        is_listed = any(post.pk == int(posted) for post in posts)
        notice = notice_for(int(posted), is_listed, route, behind, pin["seconds"], SwitchedPinStore.in_use.name)
    rendered = render(
        request,
        "board/page.html",
        {
            "posts": posts,
            "route": route,
            "explanation": REASONS[route.reason],
            "form": form,
            "longest_text": LONGEST_TEXT,
            "notice": notice,
            "posted": notice and int(posted),
            "signed_in_as": signed_in_as,
            "usernames": settings.BOARD_TOKENS.values(),
            "choices": CHOICES.values(),
            "in_use": SwitchedPinStore.in_use,
            "redis_name": status.redis_name(),
            "pin": pin,
            "pinning_seconds": conf.pinning_seconds,
            "replicas": status.replicas(),
            "least_lag": LEAST_LAG,
            "largest_lag": LARGEST_LAG,
            "queries": request.observed.queries,
            "reasons": REASONS.items(),
        },
        **response,
    )
    rendered["Content-Security-Policy"] = POLICY
    return rendered


def _refusal(problem: str) -> HttpResponse:
    """Says what is wrong. Nothing was written, so it pins nobody."""
    response = HttpResponseBadRequest(f"{problem}\n", content_type="text/plain; charset=utf-8")
    response._db_write = False
    return response
