"""Answers that are kept, and forgotten."""

import threading
from typing import Any

import pytest

from multidb.routes import Answer, Route, Settled, here
from tests.models import Post


def test_an_answer_is_not_kept_where_something_has_changed_meanwhile() -> None:
    settled = Settled()
    answer = Answer("replica-1", None, Route("replica-1", "replica", Post, "default"))
    changes = settled.changes
    settled.forget()
    settled.keep(answer, changes)
    assert settled.answers == {}
    settled.keep(answer, settled.changes)
    assert settled.answers == {Post: answer}
    settled.forget()
    assert settled.answers == {}


def test_each_thread_is_another() -> None:
    threads = [here.thread]
    for _ in range(2):
        thread = threading.Thread(target=lambda: threads.append(here.thread))
        thread.start()
        thread.join()
    assert len(set(map(id, threads))) == 3
    assert here.thread is threads[0]


@pytest.mark.parametrize(("model", "label"), [(Post, "tests.Post"), (Post(), "tests.Post"), (int, "int"), (1, "int")])
def test_a_route_says_what_its_model_is_called(model: Any, label: str) -> None:
    """Also of what is no model, which a router may be asked about."""
    assert Route("replica-1", "replica", model, "default").label == label


def test_a_read_of_a_dry_run_goes_to_the_primary() -> None:
    route = Route("replica-1", "replica", Post, "default")
    assert (route.destination, route._replace(is_dry_run=True).destination) == ("replica-1", "default")
