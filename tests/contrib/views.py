"""Views that send tasks, and answer with the id or the result of each."""

from typing import Any

from asgiref.sync import sync_to_async
from celery import group
from django.db import transaction
from django.http import JsonResponse

from multidb.pinning import use_primary_db
from tests.contrib import jobs
from tests.models import Post
from tests.views import answer


def send(request: Any) -> JsonResponse:
    return JsonResponse({"ids": [jobs.read.delay().id]})


def post_and_send(request: Any) -> JsonResponse:
    Post.objects.create(text="posted")
    return send(request)


def send_in_transaction(request: Any) -> JsonResponse:
    with transaction.atomic():
        Post.objects.create(text="posted")
        return send(request)


def send_on_commit(request: Any) -> JsonResponse:
    ids = []
    with transaction.atomic():
        Post.objects.create(text="posted")
        transaction.on_commit(lambda: ids.append(jobs.read.delay().id))
    return JsonResponse({"ids": ids})


def post_and_send_group(request: Any) -> JsonResponse:
    Post.objects.create(text="posted")
    return JsonResponse({"ids": [each.id for each in group(jobs.read.s() for _ in range(3)).delay().children]})


async def apost_and_send(request: Any) -> JsonResponse:
    """The task is sent on the event loop, where no database can be asked for its position."""
    await Post.objects.acreate(text="posted")
    return send(request)


async def apost_and_send_in_thread(request: Any) -> JsonResponse:
    await Post.objects.acreate(text="posted")
    return await sync_to_async(send)(request)


def run(request: Any) -> JsonResponse:
    """The tasks run here, before and after one that writes."""
    before = jobs.read.delay().get()
    with use_primary_db:
        inside = jobs.read.apply().get()
    jobs.write.delay("by a task")
    return JsonResponse({"tasks": [before, inside, jobs.read.delay().get()], "own": answer()})
