"""Views during which a replica dies: ``death`` is what a test wants to happen between two reads of the first run."""

from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse
from django.template.response import SimpleTemplateResponse
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from multidb.pinning import use_replica
from tests import urls
from tests.models import Post
from tests.views import answer

deaths: list[Callable[[str], None]] = []
runs: list[str] = []


def read_twice() -> dict:
    first = answer()
    runs.append(first["alias"])
    if deaths:
        deaths.pop()(first["alias"])
    return {"answers": [first, answer()]}


def die(request: HttpRequest) -> JsonResponse:
    return JsonResponse(read_twice())


async def adie(request: HttpRequest) -> JsonResponse:
    return JsonResponse(await sync_to_async(read_twice)())


def die_while_rendering(request: HttpRequest) -> SimpleTemplateResponse:
    return SimpleTemplateResponse(_Reading())


class _Reading:
    def render(self, context: object, request: object = None) -> str:
        return JsonResponse(read_twice()).content.decode()


class DieInApi(APIView):
    def get(self, request: object) -> Response:
        return Response(read_twice())


def die_after_a_write(request: HttpRequest) -> JsonResponse:
    Post.objects.create(text="mine")
    with use_replica:
        return JsonResponse(read_twice())


urlpatterns = [
    *urls.urlpatterns,
    path("die", die),
    path("adie", adie),
    path("die-while-rendering", die_while_rendering),
    path("die-in-api", DieInApi.as_view()),
    path("die-after-a-write", die_after_a_write),
]
