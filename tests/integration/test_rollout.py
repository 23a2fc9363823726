"""A function in ``MULTIDB_ROUTING`` that a database refuses, inside a transaction that the error would end."""

from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path

from multidb.rollout import mode_of
from tests.models import Post

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.urls(__name__)]


def asks_a_table_that_is_not_there(request: HttpRequest) -> bool:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")
    return True


def write_and_read(request: HttpRequest) -> JsonResponse:
    with transaction.atomic():
        Post.objects.create(text="mine")
        mode = mode_of(request)
        return JsonResponse({"mode": mode.value, "texts": list(Post.objects.values_list("text", flat=True))})


urlpatterns = [path("write-and-read", write_and_read)]


def test_the_view_goes_on_and_its_write_stands(cluster: Any, settings: Any) -> None:
    settings.MULTIDB_ROUTING = asks_a_table_that_is_not_there
    answer = Client().post("/write-and-read").json()
    assert answer == {"mode": False, "texts": ["mine"]}
    assert Post.objects.using("default").count() == 1
