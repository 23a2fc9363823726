"""``ATOMIC_REQUESTS``: the transaction that Django opens around a view sends no read to the primary, and others do."""

import threading
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

from tests import views

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("_atomic_requests"),
]

SEEN: list[str] = []


def reason() -> str:
    return views.answer()["reason"]  # type: ignore[no-any-return]


def read(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reasons": [reason()]})


@transaction.atomic(using="default")
def decorated(request: HttpRequest) -> JsonResponse:
    return read(request)


def in_blocks(request: HttpRequest) -> JsonResponse:
    reasons = []
    with transaction.atomic(using="default"):
        reasons.append(reason())
    reasons.append(reason())
    with transaction.atomic():
        reasons.append(reason())
    return JsonResponse({"reasons": reasons})


@transaction.atomic(using="default")
def part() -> str:
    return reason()


@transaction.non_atomic_requests(using="default")
def in_parts(request: HttpRequest) -> JsonResponse:
    """Its own functions have a transaction each, and Django has opened none."""
    return JsonResponse({"reasons": [part(), reason()]})


def in_a_thread(request: HttpRequest) -> JsonResponse:
    """A thread of the project, in a transaction of its own, before the view has read."""
    reasons: list[str] = []

    def run() -> None:
        with transaction.atomic(using="default"):
            reasons.append(reason())
        connections.close_all()

    thread = threading.Thread(target=copy_context().run, args=(run,))
    thread.start()
    thread.join()
    return JsonResponse({"reasons": [*reasons, reason()]})


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class BeforeTheView:
    """Opens a transaction in ``process_view``."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> None:
        with transaction.atomic(using="default"):
            SEEN.append(reason())


class AfterTheView:
    """Opens a transaction when the view has returned."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        response = self._get_response(request)
        with transaction.atomic(using="default"):
            SEEN.append(reason())
        return response


urlpatterns = [path(view.__name__, view) for view in (read, decorated, in_blocks, in_parts, in_a_thread, nothing)]


@pytest.fixture
def _atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in ("default", "users"):
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    SEEN.clear()


@pytest.mark.parametrize(
    ("address", "reasons"),
    [
        ("read", ["replica"]),
        ("decorated", ["transaction"]),
        ("in_blocks", ["transaction", "replica", "transaction"]),
        ("in_parts", ["transaction", "replica"]),
    ],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_only_django_s_own_is_none_of_the_code(address: str, reasons: list[str], is_async: bool) -> None:
    """Which stands around those of two databases."""
    get = AsyncClient().get if is_async else sync_to_async(Client().get)
    assert (await get(f"/{address}")).json() == {"reasons": reasons}


def test_that_of_a_thread_is_of_the_code() -> None:
    assert Client().get("/in_a_thread").json() == {"reasons": ["transaction", "replica"]}


@pytest.mark.parametrize("middleware", [BeforeTheView, AfterTheView])
@pytest.mark.parametrize("address", ["nothing", "read"])
def test_that_of_a_middleware_is_of_the_code(settings: Any, middleware: type, address: str) -> None:
    """Though the view has read nothing, or has not begun."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{middleware.__name__}"]
    response = Client().get(f"/{address}")
    assert SEEN == ["transaction"]
    if address == "read":
        assert response.json() == {"reasons": ["replica"]}
