"""What the sites have in common: a page of posts, and one that makes a post."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse

from tests.models import Post


def texts() -> list[str]:
    return sorted(Post.objects.values_list("text", flat=True))


def posts(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"texts": texts()})


def posts_of_whom(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.get_username(), "texts": texts()})


async def aposts_of_whom(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    found = sorted([post.text async for post in Post.objects.all()])
    return JsonResponse({"user": user.get_username(), "texts": found})


def post(request: HttpRequest) -> HttpResponse:
    Post.objects.create(text=request.POST["text"])
    return HttpResponseRedirect("/posts")


async def apost(request: HttpRequest) -> HttpResponse:
    await Post.objects.acreate(text=request.POST["text"])
    return HttpResponseRedirect("/posts")
