"""/api/posts: the board for programs, with a token and without cookies."""

import json
import time
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt

from board.forms import PostForm
from board.models import Post
from board.watching import note_read, timeline

MOST_POSTS = 20

View = Callable[[HttpRequest], JsonResponse]


def token_required(view: View) -> View:
    """Answers 401 unless the request has a known token; ``request.user`` is whose token it is."""

    @wraps(view)
    def checked(request: HttpRequest) -> JsonResponse:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        username = settings.BOARD_TOKENS.get(token.strip()) if kind.lower() == "token" else None
        if username is None:
            return _refusal(401, "Send 'Authorization: Token …' with a known token.", {"WWW-Authenticate": "Token"})
        request.user = get_user_model().objects.get(username=username)
        return view(request)

    return checked


@csrf_exempt
@token_required
def posts(request: HttpRequest) -> JsonResponse:
    """``GET``: the newest posts, and which database answered. ``POST``: a new post from JSON or a form."""
    if request.method in ("GET", "HEAD"):
        return _newest(request)
    if request.method == "POST":
        return _create(request)
    return _refusal(405, f"{request.method} is not allowed.", {"Allow": "GET, HEAD, POST"})


def _newest(request: HttpRequest) -> JsonResponse:
    began = time.monotonic()
    newest = list(Post.objects.select_related("author")[:MOST_POSTS])
    note_read(request.observed, newest, began)
    route = request.observed.route_of(Post)
    return JsonResponse(
        {"served_by": {"database": route.alias, "reason": route.reason}, "posts": [*map(_as_json, newest)]}
    )


def _create(request: HttpRequest) -> JsonResponse:
    try:
        form = PostForm({"text": _text(request)})
    except (ValueError, SuspiciousOperation, MultiPartParserError) as error:
        return _refusal(400, str(error))
    if not form.is_valid():
        return _refusal(400, " ".join(form.errors["text"]))
    form.instance.author = request.user
    post = form.save()
    timeline().note_write(post.pk)
    return JsonResponse({"written_to": post._state.db, "post": _as_json(post)}, status=201)


def _text(request: HttpRequest) -> str:
    """The text of the new post. Raises ``ValueError``, which says what is wrong."""
    if request.content_type != "application/json":
        return request.POST.get("text", "")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise ValueError("The body is no JSON.") from error
    if not isinstance(body, dict) or not isinstance(body.get("text", ""), str):
        raise ValueError('Send an object with a text: {"text": "…"}.')
    return body.get("text", "")


def _as_json(post: Post) -> dict[str, object]:
    author = post.author.username if post.author else None
    return {"id": post.pk, "author": author, "text": post.text, "created": post.created.isoformat()}


def _refusal(status: int, error: str, headers: dict[str, str] | None = None) -> JsonResponse:
    """Says what is wrong. Nothing was written, so it pins nobody, whatever the method."""
    response = JsonResponse({"error": error}, status=status, headers=headers)
    response._db_write = False
    return response
