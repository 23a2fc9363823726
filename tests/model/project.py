"""The project of the model: one view, which does what the machine tells it, step by step."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.model.workers import Paused, Worker
from tests.models import Post

# The model whose rows each primary has.
MODELS: dict[str, Any] = {"default": Post, "users": User}


class UsersRouter:
    """Sends what is about users to the primary of their own."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "users" if model is User else None


@dataclass
class Job:
    """How the view is run for one request. ``blocks``: the transactions that it has open. ``error``: what ended it."""

    worker: Worker
    has_outer_transaction: bool
    blocks: dict[str, ExitStack] = field(default_factory=dict)
    error: BaseException | None = None


def view(request: HttpRequest) -> HttpResponse:
    job: Job = request.job
    answer: Any = Paused.IN_THE_VIEW
    try:
        while not isinstance(answer, HttpResponse):
            step = job.worker.pause(answer)
            answer = step()
    except BaseException as error:
        job.error = error
        while job.blocks:
            job.blocks.popitem()[1].__exit__(type(error), error, error.__traceback__)
        raise
    return answer


def outer_transaction(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware before ours: for some requests a transaction around all of it, which ends some time after it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        job: Job = request.job
        if not job.has_outer_transaction:
            return get_response(request)
        with transaction.atomic(using="default"):
            response = get_response(request)
            job.worker.pause(Paused.AFTER_THE_VIEW)()
            return response

    return middleware


def open_block(job: Job, primary: str) -> None:
    block = job.blocks[primary] = ExitStack()
    block.enter_context(transaction.atomic(using=primary))


def close_block(job: Job, primary: str, is_kept: bool) -> None:
    if not is_kept:
        transaction.set_rollback(True, using=primary)
    job.blocks.pop(primary).close()


def database_of(primary: str) -> str:
    """The alias that a read of ``primary``'s rows goes to."""
    alias = router.db_for_read(MODELS[primary])
    assert alias is not None
    return alias


urlpatterns = [path("", view)]
