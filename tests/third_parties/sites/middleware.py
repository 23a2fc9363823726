from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.cache import cache_page

from multidb.pinning import db_write
from tests.models import Post
from tests.third_parties import views

PADDING = "." * 1000  # so that it is worth compressing


def page(request):
    return HttpResponse(f"<html><body>{views.texts()} {PADDING}</body></html>")


def page_of_whom(request):
    return HttpResponse(f"<html><body>{request.user} {views.texts()}</body></html>")


def visit(request):
    """A ``GET`` that writes."""
    Post.objects.create(text="visit")
    return HttpResponse("thanks")


async def apage(request):
    texts = sorted([post.text async for post in Post.objects.all()])
    return HttpResponse(f"<html><body>{texts} {PADDING}</body></html>")


def stream(request):
    return StreamingHttpResponse(f"{views.texts()}\n" for _ in range(2))


async def astream(request):
    async def chunks():
        for _ in range(2):
            texts = sorted([post.text async for post in Post.objects.all()])
            yield f"{texts}\n"

    return StreamingHttpResponse(chunks())


urlpatterns = [
    path("page", page),
    path("apage", apage),
    path("of-whom", page_of_whom),
    path("visit", visit),
    path("cached-visit", cache_page(60)(db_write(visit))),
    path("stream", stream),
    path("astream", astream),
    path("post", views.post),
    path("apost", views.apost),
]
