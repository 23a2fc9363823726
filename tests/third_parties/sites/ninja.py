from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI, Schema
from ninja.security import HttpBearer, django_auth
from rest_framework.authtoken.models import Token

from multidb.pinning import use_primary_db
from tests.models import Post
from tests.third_parties import views


class Text(Schema):
    text: str


class Bearer(HttpBearer):
    """Tells Django's request who it is that the token stands for."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        found = Token.objects.select_related("user").filter(key=token).first()
        if found is None:
            return None
        request.user = found.user
        return found.user


class SilentBearer(HttpBearer):
    """Tells only ninja, in ``request.auth``: as in its documentation."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        found = Token.objects.select_related("user").filter(key=token).first()
        return found and found.user


class FreshBearer(Bearer):
    """Looks tokens up on the primary."""

    authenticate = use_primary_db(Bearer.authenticate)


class AsyncBearer(HttpBearer):
    async def authenticate(self, request: HttpRequest, token: str) -> User | None:
        found = await Token.objects.select_related("user").filter(key=token).afirst()
        if found is None:
            return None
        request.user = found.user
        return found.user


api = NinjaAPI(docs_url=None)


def _add(prefix: str, auth: object) -> None:
    @api.get(prefix, auth=auth)
    def posts(request: HttpRequest) -> list[str]:
        return views.texts()

    @api.post(prefix, auth=auth)
    def post(request: HttpRequest, body: Text) -> list[str]:
        Post.objects.create(text=body.text)
        return views.texts()


_add("/bearer", Bearer())
_add("/silent", SilentBearer())
_add("/fresh", FreshBearer())
_add("/session", django_auth)


@api.get("/async", auth=AsyncBearer())
async def aposts(request: HttpRequest) -> list[str]:
    return sorted([post.text async for post in Post.objects.all()])


@api.post("/async", auth=AsyncBearer())
async def apost(request: HttpRequest, body: Text) -> list[str]:
    await Post.objects.acreate(text=body.text)
    return await aposts(request)


urlpatterns = [path("api/", api.urls)]
