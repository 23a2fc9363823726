"""Views that read and write posts in each way that a project does."""

import asyncio

from asgiref.sync import sync_to_async
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import router, transaction
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.views import View
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.response import Response
from rest_framework.views import APIView

from multidb import routing
from multidb.pinning import db_read, db_write, use_primary_db, use_replica
from tests.models import Post


def answer() -> dict:
    """The posts that a read sees here, and where and why it was sent."""
    routes = []
    routing.current().routing.note_reads(routes)
    texts = sorted(Post.objects.values_list("text", flat=True))
    return {"texts": texts, "alias": routes[-1].alias, "reason": routes[-1].reason}


def read(request):
    return JsonResponse(answer())


def post(request):
    Post.objects.create(text=request.POST["text"])
    return HttpResponseRedirect("/read")


def post_and_fail(request):
    Post.objects.create(text="failed")
    raise RuntimeError("after the write")


@db_write
def get_that_writes(request):
    Post.objects.create(text="by get")
    return JsonResponse(answer())


@db_write
def writes_nothing_after_all(request):
    response = HttpResponse()
    response._db_write = False
    return response


@db_write
def get_that_writes_and_fails(request):
    Post.objects.create(text="failed")
    raise RuntimeError("after the write")


def marked(request):
    """Marks its response by hand, as django-multidb-router documents."""
    response = JsonResponse(answer())
    response._db_write = request.GET["write"] == "yes"
    return response


@db_read
def search(request):
    return JsonResponse(answer())


@db_read
def search_that_writes_after_all(request):
    return get_that_writes(request)


def nothing(request):
    """Reads nothing."""
    return HttpResponse()


def nested(request):
    answers = [answer()]
    with use_replica:
        answers.append(answer())
        with use_primary_db:
            answers.append(answer())
            with use_replica:
                answers.append(answer())
            answers.append(answer())
        answers.append(answer())
    answers.append(answer())
    return JsonResponse({"aliases": [each["alias"] for each in answers]})


def stream(request):
    return StreamingHttpResponse(f"{answer()['alias']} {answer()['reason']}\n" for _ in range(2))


def stream_file(request):
    """A file made as it is sent."""
    return FileResponse(f"{answer()['alias']} {answer()['reason']}\n" for _ in range(2))


async def astream(request):
    async def chunks():
        for _ in range(2):
            found = await sync_to_async(answer)()
            yield f"{found['alias']} {found['reason']}\n"

    return StreamingHttpResponse(chunks())


@db_write
def rendered_later(request):
    """Its template reads after the view has returned."""
    return SimpleTemplateResponse(_Template())


class _Template:
    def render(self, context, request=None):
        return answer()["reason"]


def log_in(request):
    login(request, authenticate(username=request.POST["user"], password="secret"))
    return HttpResponse()


@db_read
def read_as_a_get_does(request):
    return answer()


def log_in_after_a_read(request):
    """Knows of the pin, then changes the session's key."""
    read_as_a_get_does(request)
    response = log_in(request)
    response._db_write = True
    return response


def log_out(request):
    logout(request)
    return HttpResponse()


def log_out_elsewhere(request):
    """Loads the session, which another request then deletes."""
    assert request.session["visits"]
    Session.objects.all().delete()
    return HttpResponse()


def log_in_by_get(request):
    """What a link in a mail does, or the answer of another site: it reads, and changes the session's key."""
    first = answer()
    login(request, User.objects.get(username="ada"), "django.contrib.auth.backends.ModelBackend")
    return JsonResponse(first)


def log_out_by_get(request):
    first = answer()
    logout(request)
    return JsonResponse(first)


def who(request):
    return JsonResponse({"user": request.user.get_username(), **answer()})


def remember(request):
    """Changes the session without a write to anything else."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]}, status=int(request.GET.get("status", 200)))


class ByClass(View):
    def get(self, request):
        return JsonResponse(answer())

    @db_write
    def head(self, request):
        return HttpResponse()

    @db_read
    def post(self, request):
        return JsonResponse(answer())


class AsyncByClass(View):
    async def get(self, request):
        return JsonResponse(await sync_to_async(answer)())

    @db_write
    async def put(self, request):
        return JsonResponse(await sync_to_async(answer)())

    @db_read
    async def post(self, request):
        return JsonResponse(await sync_to_async(answer)())


def databases(request):
    """Where a read of each of two primaries goes."""
    return JsonResponse({"post": router.db_for_read(Post), "token": router.db_for_read(Token)})


def in_transaction(request):
    with transaction.atomic():
        return JsonResponse(answer())


def in_transaction_by_alias(request):
    with transaction.atomic(using="default"):
        return JsonResponse(answer())


@transaction.non_atomic_requests
def non_atomic_in_transaction(request):
    with transaction.atomic(using="default"):
        return JsonResponse(answer())


def in_a_transaction(get_response):
    """A middleware that opens a transaction of its own."""

    def middleware(request):
        with transaction.atomic(using="default"):
            if "read-before" in request.GET:
                assert answer()["reason"] == "transaction"
            return get_response(request)

    return middleware


async def aread(request):
    posts = []
    routing.current().routing.note_reads(posts)
    texts = sorted([post.text async for post in Post.objects.all()])
    return JsonResponse({"texts": texts, "alias": posts[-1].alias, "reason": posts[-1].reason})


async def apost(request):
    await Post.objects.acreate(text=request.POST["text"])
    return HttpResponseRedirect("/aread")


async def anothing(request):
    return HttpResponse()


async def awho(request):
    return JsonResponse({"who": (await request.auser()).get_username()})


async def routed_on_the_loop(request):
    """Where a read is sent on the event loop, and why one is that is made in a thread."""
    routes = []
    routing.current().routing.note_reads(routes)
    router.db_for_read(Post)
    here = routes[-1]
    return JsonResponse({"here": [here.alias, here.reason], "there": (await sync_to_async(answer)())["reason"]})


@db_write
async def aget_that_writes(request):
    await Post.objects.acreate(text="by get")
    return HttpResponse()


def api_with_keys(request):
    """Its client is known only when a table of keys has been read."""
    first = answer()["reason"]
    request.api_client = request.headers["X-Api-Key"]
    if request.method == "POST":
        return HttpResponse()
    return JsonResponse({"reasons": [first, answer()["reason"]]})


hanging = asyncio.Event()  # a test sets one of its own event loop


async def hang(request):
    hanging.set()
    await asyncio.sleep(60)
    return HttpResponse()


def never_made_async(get_response):
    return lambda request: get_response(request)


def api_client(request):
    return getattr(request, "api_client", None)


class Api(APIView):
    """Knows its user only by the token, inside the view."""

    authentication_classes = (TokenAuthentication,)

    def get(self, request):
        return Response({"user": request.user.get_username(), **answer()})

    def post(self, request):
        Post.objects.create(text=request.data["text"])
        return Response(status=201)
