"""What a store asks of a database harms no transaction of the site's, and costs nothing where none is open."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from multidb.backends.failures import asking, asking_in_transaction_of_view, in_transaction_of_view
from tests.models import Post

# A primary, and a database that is none of ours.
DATABASES = ["default", "users"]


def ask(alias: str) -> None:
    list(Post.objects.using(alias))


def fail(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT text FROM no_such_table")


def in_test(transaction: bool) -> Any:
    """A test with no transaction around it, or with that of Django's ``TestCase``."""
    return pytest.param(None, marks=pytest.mark.django_db(transaction=transaction, databases=DATABASES))


@pytest.mark.parametrize("alias", DATABASES)
@pytest.mark.parametrize("block", [nullcontext, transaction.atomic])
@pytest.mark.parametrize("_", [in_test(transaction=True), in_test(transaction=False)])
def test_a_savepoint_is_made_only_in_a_transaction_of_the_site(
    _: None, alias: str, block: Callable[..., Any], django_assert_num_queries: Any
) -> None:
    """And not in that of a test, which may count queries."""
    count = 1 if block is nullcontext else 3
    with block(alias), django_assert_num_queries(count, connection=connections[alias]), in_transaction_of_view():
        ask(alias)


@pytest.mark.django_db(transaction=True, databases=DATABASES)
@pytest.mark.parametrize("alias", DATABASES)
def test_what_fails_leaves_the_transaction_as_it_was(alias: str) -> None:
    with transaction.atomic(alias):
        Post.objects.using(alias).create(text="before")
        with pytest.raises(DatabaseError), in_transaction_of_view(), transaction.atomic(alias, savepoint=False):
            fail(alias)
        Post.objects.using(alias).create(text="after")
    assert Post.objects.using(alias).count() == 2


def test_a_store_is_asking_until_it_has_done_so() -> None:
    with asking_in_transaction_of_view():
        assert asking.get()
        with pytest.raises(LookupError), asking_in_transaction_of_view():
            raise LookupError
        assert asking.get()
    assert not asking.get()
