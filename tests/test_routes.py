"""Answers that are kept, and forgotten."""

import threading
from typing import Any

import pytest
from django.contrib.sessions.models import Session

from multidb.routes import UNDECIDED, Answer, Route, Settled, here
from tests.models import Book, Post

OURS = object()


def test_an_answer_is_not_kept_where_something_has_changed_meanwhile() -> None:
    settled = Settled()
    answer = Answer("replica-1", OURS, Route("replica-1", "replica", Post, "default"))
    changes = settled.changes
    settled.forget()
    settled.keep(Post, answer, changes)
    assert settled.answers == {}
    settled.keep(Post, answer, settled.changes)
    assert settled.answers == {Post: answer}
    settled.forget()
    assert settled.answers == {}


def test_an_answer_for_any_model_is_not_kept_where_something_has_changed_meanwhile() -> None:
    settled = Settled()
    answer = Answer("replica-1", OURS, Route("replica-1", "replica", Post, "default"))
    changes = settled.changes
    settled.forget()
    settled.keep(Post, answer, changes, is_of_any=True)
    assert settled.known(OURS, Book, None) is UNDECIDED
    settled.keep(Post, answer, settled.changes, is_of_any=True)
    assert settled.known(OURS, Book, None) is answer
    assert settled.answers == {Post: answer, Book: answer}
    settled.forget()
    assert settled.known(OURS, Book, None) is UNDECIDED


def test_an_answer_that_another_thread_is_about_to_take_back_is_not_taken_over() -> None:
    """It has kept one, and has not seen yet that something has changed since it decided."""
    settled = Settled()
    answer = Answer("replica-1", OURS, Route("replica-1", "replica", Post, "default"))
    before = settled.changes
    settled.forget()
    settled.of_any[None] = before, answer
    assert settled.known(OURS, Book, None) is UNDECIDED
    assert settled.answers == {}


def test_an_answer_stands_for_its_own_model_alone_where_nothing_else_is_said() -> None:
    settled = Settled()
    settled.keep(Post, Answer("replica-1", OURS, Route("replica-1", "replica", Post, "default")), None)
    assert settled.known(OURS, Book, None) is UNDECIDED


@pytest.mark.parametrize("primary", [None, "default"])
def test_an_answer_of_one_router_is_none_of_another(primary: str | None) -> None:
    settled = Settled()
    answer = Answer("replica-1", OURS, Route("replica-1", "replica", Post, "default"))
    settled.keep(Post, answer, settled.changes, is_of_any=True, primary=primary)
    for model in (Post, Book):
        assert settled.known(object(), model, primary) is UNDECIDED
    assert len(settled.answers) == 1
    assert settled.known(OURS, Book, primary) is answer
    assert settled.known(OURS, Book, "users") is UNDECIDED


def test_an_answer_for_another_model_is_the_same_but_for_the_model() -> None:
    parts = {name: object() for name in Answer.__slots__}
    answer = Answer(**{**parts, "route": Route("replica-1", "replica", Post, "default")})
    other = answer.of(Book)
    assert other.route == Route("replica-1", "replica", Book, "default")
    assert all(getattr(other, name) is parts[name] for name in parts.keys() - {"route"})


def test_an_answer_that_is_taken_over_is_noted_as_that_of_its_own_model() -> None:
    settled, notes = Settled(), ([],)
    settled.keep(
        Post,
        Answer("replica-1", OURS, Route("replica-1", "replica", Post, "default", True), notes),
        None,
        is_of_any=True,
    )
    taken_over = settled.known(OURS, Book, None)
    assert taken_over.route == Route("replica-1", "replica", Book, "default", True)
    assert (taken_over.alias, taken_over.notes) == ("replica-1", notes)
    assert settled.answers[Book] is taken_over


@pytest.mark.parametrize("model", [Session, Book(), "book"], ids=["a session", "an object", "text"])
def test_not_all_take_over_what_is_decided_for_another(model: Any) -> None:
    settled = Settled()
    answer = Answer("replica-1", OURS, Route("replica-1", "replica", Post, "default"))
    settled.keep(Post, answer, settled.changes, is_of_any=True)
    assert settled.known(OURS, model, None) is UNDECIDED


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
