"""The board's pages, and their URLs."""

from django.db.models import Max
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from multidb import routing
from workload.models import Post

LATEST = 20


def enter(request: HttpRequest) -> HttpResponse:
    """Remember in the session whose browser this is."""
    request.session["author"] = request.POST["author"]
    return HttpResponse(status=204)


def write(request: HttpRequest) -> HttpResponse:
    Post.objects.create(author=request.session["author"], number=request.POST["number"])
    return HttpResponse(status=204)


def read(request: HttpRequest) -> JsonResponse:
    """The board, the newest of the visitor's own posts, and where its queries went, and why."""
    routes = []
    routing.current().routing.note_reads(routes)
    own = Post.objects.filter(author=request.session["author"])
    board = {
        "posts": [str(post) for post in Post.objects.order_by("-id")[:LATEST]],
        "own": own.count(),
        "newest": own.aggregate(newest=Max("number"))["newest"] or 0,
    }
    return JsonResponse(board | {"routes": [[route.alias, route.reason] for route in routes]})


urlpatterns = [path("enter", enter), path("write", write), path("read", read)]
