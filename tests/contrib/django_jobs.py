"""Tasks of Django's tasks framework, and views that enqueue them."""

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse
from django.tasks import TaskContext, task
from django.urls import path

from tests.models import Post
from tests.views import answer


@task
def read() -> dict[str, Any]:
    return answer()


@task
async def aread() -> dict[str, Any]:
    return await sync_to_async(answer)()


@task(takes_context=True)
def arguments(context: TaskContext, *given: Any, **named: Any) -> list[Any]:
    return [given, named]


@task
def write_and_enqueue(text: str) -> str:
    Post.objects.create(text=text)
    return read.enqueue().id


@task
def fail() -> None:
    Post.objects.create(text="before the failure")
    raise RuntimeError("after the write")


def post(request: HttpRequest) -> JsonResponse:
    Post.objects.create(text="posted")
    tasks = [read.enqueue(), aread.enqueue(), arguments.enqueue(1, two=2)]
    return JsonResponse({"ids": [task.id for task in tasks]})


async def apost(request: HttpRequest) -> JsonResponse:
    await Post.objects.acreate(text="posted")
    return JsonResponse({"ids": [(await read.aenqueue()).id]})


def get(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ids": [read.enqueue().id]})


def run(request: HttpRequest) -> JsonResponse:
    """The tasks run here."""
    tasks = [read.enqueue(), fail.enqueue(), read.enqueue(), aread.enqueue()]
    return JsonResponse({"tasks": [task._return_value for task in tasks], "own": answer()})


urlpatterns = [path("post", post), path("apost", apost), path("get", get), path("run", run)]
