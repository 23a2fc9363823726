"""Routing by model, without any router: reads in turn from the replicas, writes to the primary."""

import itertools
import pickle

import pytest
from django.db import connections, models, router, transaction
from django.db.models import FilteredRelation, Q
from django.http import HttpResponse
from django.test import Client
from django.test.utils import isolate_apps
from django.urls import path

from multidb import ReplicaManager, ReplicaMixin, ReplicaQuerySet
from multidb.pinning import use_primary_db
from tests.conftest import REPLICAS, Replication
from tests.models import Book, Bookmark, BookQuerySet, Post, Shelf

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
def _no_routers(settings, replication: Replication) -> None:
    settings.DATABASE_ROUTERS = []


@pytest.fixture
def shelf(replication: Replication) -> Shelf:
    """A shelf that the replicas have, with a book that they do not have."""
    shelf = Shelf.objects.create(name="poems")
    replication.catch_up()
    Book.objects.create(shelf=shelf)
    return shelf


def read_from(queryset: models.QuerySet) -> str:
    """The alias that ``queryset`` reads from, by the query itself."""
    with CaptureAll() as queries:
        list(queryset)
    [alias] = queries.aliases
    return alias


class CaptureAll:
    """The alias of each query, in order."""

    def __enter__(self) -> "CaptureAll":
        self.aliases: list[str] = []
        self._wrappers = [connections[alias].execute_wrapper(self._note) for alias in connections]
        for wrapper in self._wrappers:
            wrapper.__enter__()
        return self

    def _note(self, execute, sql, params, many, context):
        self.aliases.append(context["connection"].alias)
        return execute(sql, params, many, context)

    def __exit__(self, *exception: object) -> None:
        for wrapper in self._wrappers:
            wrapper.__exit__(*exception)


def test_reads_take_the_replicas_in_turn() -> None:
    taken = [read_from(Shelf.objects.all()) for _ in range(4)]
    assert taken[:2] == taken[2:]
    assert set(taken) == set(REPLICAS)


@pytest.mark.parametrize(
    "write",
    [
        lambda: Shelf(name="new").save(),
        lambda: Shelf.objects.create(name="new"),
        lambda: Shelf.objects.bulk_create([Shelf(name="new")]),
        lambda: Shelf.objects.update(name="new"),
        lambda: Shelf.objects.filter(name="poems").delete(),
        lambda: Shelf.objects.get_or_create(name="poems"),
        lambda: Shelf.objects.update_or_create(name="poems"),
    ],
)
def test_writes_go_to_the_primary(shelf: Shelf, write) -> None:
    with CaptureAll() as queries:
        write()
    assert set(queries.aliases) == {"default"}


def test_an_object_read_from_a_replica_is_saved_and_deleted_on_the_primary(shelf: Shelf) -> None:
    read = Shelf.objects.get()
    read.name = "novels"
    with CaptureAll() as queries:
        read.save()
        read.refresh_from_db()
        read.delete()
    assert set(queries.aliases) == {"default"}
    assert not Shelf.objects.using("default").exists()


def test_using_still_decides_when_given(shelf: Shelf) -> None:
    assert read_from(Shelf.objects.using("default")) == "default"
    assert read_from(Shelf.objects.all().using("replica-2")) == "replica-2"
    assert read_from(Shelf.objects.db_manager("default").all()) == "default"
    assert Shelf.objects.db_manager("replica-2").db == "replica-2"
    with CaptureAll() as queries:
        Shelf(name="new").save(using="users")
    assert set(queries.aliases) == {"users"}


def test_a_manager_says_which_database_it_reads() -> None:
    assert Shelf.objects.db in REPLICAS


def test_from_queryset_routes_a_plain_queryset_class(shelf: Shelf) -> None:
    assert read_from(Book.objects.thick()) in REPLICAS
    assert read_from(Book.objects.filter(pages=1).thick().order_by("pk")[:5]) in REPLICAS
    assert isinstance(Book.objects.all(), BookQuerySet)
    assert type(Book.objects).__name__ == "ReplicaManagerFromBookQuerySet"


def test_as_manager_routes_too(shelf: Shelf) -> None:
    assert isinstance(Book.from_queryset, ReplicaManager)
    assert read_from(Book.from_queryset.all()) in REPLICAS


def test_as_manager_says_that_it_was_built_so() -> None:
    """What migrations ask."""
    assert Book.from_queryset.deconstruct()[0] is True


def test_django_s_own_queryset_class_becomes_ours() -> None:
    assert ReplicaManager.from_queryset(models.QuerySet)._queryset_class is ReplicaQuerySet


def test_a_queryset_is_pickled_and_read_again(shelf: Shelf) -> None:
    copied = pickle.loads(pickle.dumps(Shelf.objects.all()))
    assert copied.get() == shelf
    copied = pickle.loads(pickle.dumps(Book.objects.filter(pages=100).only("pages")))
    assert isinstance(copied, BookQuerySet)
    assert isinstance(copied, ReplicaQuerySet)


def test_related_managers_read_from_replicas_and_write_to_the_primary(shelf: Shelf, replication: Replication) -> None:
    shelf = Shelf.objects.get()
    assert read_from(shelf.book_set.all()) in REPLICAS
    with CaptureAll() as queries:
        book = shelf.book_set.create(pages=600)
        reader = Post.objects.create(text="read it")
        book.readers.add(reader)
        book.readers.clear()
    assert set(queries.aliases) == {"default"}
    replication.catch_up()
    assert Book.objects.select_related("shelf").get(pages=600).shelf == shelf
    assert [len(each.book_set.all()) for each in Shelf.objects.prefetch_related("book_set")] == [2]


def test_what_belongs_to_an_object_that_was_read_by_name_is_written_to_the_primary(
    shelf: Shelf, replication: Replication
) -> None:
    """The object being one without the mixin, read from a replica by ``using()``."""
    Bookmark.objects.create(post=Post.objects.create(text="x"), book=Book.objects.using("default").get())
    replication.catch_up()
    post = Post.objects.using("replica-1").get()
    with CaptureAll() as queries:
        post.bookmark_set.update(book=Book.objects.using("default").get())
        post.bookmark_set.all().delete()
    assert set(queries.aliases) == {"default"}


def test_objects_that_come_along_belong_to_the_primary_too(shelf: Shelf, replication: Replication) -> None:
    """Whatever their model: an ordinary one would be saved to the replica otherwise."""
    post, book = Post.objects.create(text="old"), Book.objects.using("default").get()
    first = Bookmark.objects.create(post=post, book=book)
    Bookmark.objects.create(post=post, book=Book.objects.create(shelf=shelf), before=first)
    replication.catch_up()
    with CaptureAll() as queries:
        bookmark = Bookmark.objects.select_related("post", "book__shelf", "before__post").get(before=first)
        marked = Bookmark.objects.annotate(old=FilteredRelation("post", condition=Q(post__text="old")))
        by_condition = marked.select_related("old").get(pk=first.pk)
    assert set(queries.aliases) <= set(REPLICAS)
    with CaptureAll() as queries:
        for read in (bookmark.post, bookmark.book.shelf, bookmark.before, bookmark.before.post, by_condition.old):
            read.save()
    assert set(queries.aliases) == {"default"}


def test_what_the_project_has_linked_to_an_object_is_not_walked_through(shelf: Shelf, replication: Replication) -> None:
    """Not for each row of what belongs to it, nor at all: a chain may be deeper than Python's stack."""
    chain = [Bookmark(pk=pk) for pk in range(2000)]
    for bookmark, before in itertools.pairwise(chain):
        bookmark.before = before
    first = Bookmark.objects.create(post=Post.objects.create(text="x"), book=Book.objects.using("default").get())
    first.before = chain[0]
    elsewhere = chain[1]
    elsewhere._state.db = "replica-1"
    Bookmark.objects.create(post=first.post, book=Book.objects.create(shelf=shelf), before=first)
    replication.catch_up()
    assert [read.before for read in first.bookmark_set.select_related("post")] == [first]
    assert elsewhere._state.db == "replica-1"


def test_what_belongs_to_an_object_that_was_read_by_name_is_read(shelf: Shelf, replication: Replication) -> None:
    Bookmark.objects.create(post=Post.objects.create(text="x"), book=Book.objects.using("default").get())
    replication.catch_up()
    post = Post.objects.using("replica-1").get()
    assert post.bookmark_set.get().post is post


def test_objects_read_from_two_replicas_may_be_related(shelf: Shelf) -> None:
    first, second = Shelf.objects.get(), Shelf.objects.get()
    assert first == second
    book = Book.objects.using("default").get()
    book.shelf = second
    book.save()


def test_raw_queries_read_from_a_replica_and_their_objects_save_to_the_primary(shelf: Shelf) -> None:
    [read] = Shelf.objects.using("replica-1").raw("SELECT * FROM tests_shelf")
    with CaptureAll() as queries:
        read.save()
    assert set(queries.aliases) == {"default"}


def test_the_rules_of_a_request_hold(settings, client: Client) -> None:
    settings.ROOT_URLCONF = __name__
    assert client.get("/shelves").content.decode() in REPLICAS
    client.post("/shelves")
    assert client.get("/shelves").content == b"default"


def test_blocks_and_transactions_hold() -> None:
    with use_primary_db:
        assert read_from(Shelf.objects.all()) == "default"
    with transaction.atomic():
        assert read_from(Shelf.objects.all()) == "default"


class ToUsers:
    """A project's router that keeps everything on a primary that has no replicas."""

    def db_for_read(self, model, **hints):
        return "users"

    db_for_write = db_for_read


def test_a_primary_that_has_no_replicas_is_left_to_the_routers(settings) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.ToUsers"]
    assert read_from(Shelf.objects.all()) == "users"
    assert Shelf.objects.db == "users"


@isolate_apps("tests")
@pytest.mark.parametrize("routers", [[], ["multidb.ReplicaRouter"]], ids=["no router", "a router"])
def test_a_manager_without_the_mixin_is_an_error_unless_a_router_is_there(settings, routers: list[str]) -> None:
    class Loose(models.Model):
        objects = ReplicaManager()

    settings.DATABASE_ROUTERS = routers
    messages = [message for message in Loose.check() if message.id.startswith("multidb")]
    assert [message.id for message in messages] == ([] if routers else ["multidb.E040"])
    assert not routers or isinstance(router.routers[0].db_for_read(Loose), str)


@isolate_apps("tests")
def test_a_mixin_after_the_model_is_an_error() -> None:
    class Wrong(models.Model, ReplicaMixin):
        objects = ReplicaManager()

    assert [message.id for message in Wrong.check()] == ["multidb.E040"]


def test_a_model_with_the_mixin_passes() -> None:
    assert Shelf.check() == []
    assert Book.check() == []


def test_an_object_that_was_read_from_no_database_stays_so() -> None:
    assert Shelf.from_db(None, ["id", "name"], [1, "x"])._state.db is None
    assert issubclass(Shelf, ReplicaMixin)


def shelves(request):
    return HttpResponse(read_from(Shelf.objects.all()))


urlpatterns = [path("shelves", shelves)]
