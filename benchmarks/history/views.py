"""The site: a register for each client, which is written and read."""

import traceback

from django.db.models import Max
from django.http import HttpRequest, HttpResponse, HttpResponseServerError, JsonResponse
from django.urls import path
from workload.models import Post

from multidb import routing

DETAIL_LENGTH = 600


def enter(request: HttpRequest) -> HttpResponse:
    """Begin a session."""
    request.session["entered"] = True
    return HttpResponse(status=204)


def register(request: HttpRequest, client: str) -> HttpResponse:
    """Write a number to the client's register, or tell the largest one there, where it was read, and why."""
    if request.method == "POST":
        Post.objects.create(author=client, number=request.POST["number"])
        return HttpResponse(status=204)
    routes = []
    routing.current().routing.note_reads(routes)
    value = Post.objects.filter(author=client).aggregate(largest=Max("number"))["largest"] or 0
    return JsonResponse({"value": value, "routes": [[route.alias, route.reason] for route in routes]})


def failed(request: HttpRequest) -> HttpResponse:
    """Tell what has gone wrong."""
    return HttpResponseServerError(traceback.format_exc()[-DETAIL_LENGTH:])


handler500 = failed

urlpatterns = [path("enter", enter), path("registers/<str:client>", register)]
