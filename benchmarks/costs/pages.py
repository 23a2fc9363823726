"""The pages of each site: ten reads, as queries or routed only, and one write if it is a POST."""

from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.urls import path

from costs.models import Page

READS = 10

# A router is asked of classes, whatever these are.
MODELS = [type(f"Page{number}", (), {}) for number in range(READS)]


def fill() -> None:
    """Make the table, and the rows that pages read."""
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    Page.objects.bulk_create(Page(text="What a page says. " * 10) for _ in range(READS))


def page(request: HttpRequest) -> HttpResponse:
    """Ten queries, and one that writes if it is a POST."""
    read = [Page.objects.get(pk=number) for number in range(1, READS + 1)]
    if request.method == "POST":
        read[0].save()
    return answer(request)


def routed(request: HttpRequest) -> HttpResponse:
    """Ten reads, and a write if it is a POST, of which only the way to the database is asked for."""
    for _ in range(READS):
        router.db_for_read(Page)
    if request.method == "POST":
        router.db_for_write(Page)
    return answer(request)


def routed_many(request: HttpRequest) -> HttpResponse:
    """As ``routed``, but each read is of another model."""
    for model in MODELS:
        router.db_for_read(model)
    return answer(request)


async def arouted(request: HttpRequest) -> HttpResponse:
    """The async twin of ``routed``, in a thread, where the queries of Django's async ORM are made."""
    return await sync_to_async(routed)(request)


def answer(request: HttpRequest) -> HttpResponse:
    # A redirect, as after a form: django-replicated pins only then.
    return HttpResponse(status=302 if request.method == "POST" else 200)


urlpatterns = [
    path("page", page),
    path("routed", routed),
    path("arouted", arouted),
]
