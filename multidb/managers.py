"""ReplicaManager, ReplicaQuerySet, ReplicaMixin: routing by model instead of by router."""

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, Self, TypeVar

from django.core.checks import CheckMessage, Error
from django.db import models, router
from django.db.models.query import ModelIterable

from multidb.replicas import topology
from multidb.routers import PinningReplicaRouter, ReplicaRouter

Model = TypeVar("Model", bound=models.Model, covariant=True)


class ReplicaQuerySet(models.QuerySet[Model]):
    """Reads go where ``PinningReplicaRouter`` sends them, writes to the primary, unless ``using()`` says otherwise."""

    _db: str | None
    _for_write: bool
    _hints: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._iterable_class = _OfThePrimary

    @property
    def db(self) -> str:
        if self._db:
            return self._db
        if self._for_write:
            return _ROUTER.db_for_write(self.model, **self._hints)
        return _ROUTER.db_for_read(self.model, **self._hints) or super().db

    @classmethod
    def as_manager(cls) -> "ReplicaManager[Any]":
        manager: ReplicaManager[Any] = ReplicaManager.from_queryset(cls)()
        manager._built_with_as_manager = True
        return manager


class ReplicaManager(models.Manager[Model]):
    """Reads go where ``PinningReplicaRouter`` sends them, without any router. For models with ``ReplicaMixin``."""

    _built_with_as_manager: bool
    _hints: dict[str, Any]
    _queryset_class = ReplicaQuerySet

    @property
    def db(self) -> str:
        return self._db or _ROUTER.db_for_read(self.model, **self._hints) or super().db

    @classmethod
    def from_queryset(cls, queryset_class: type[models.QuerySet[Any]], class_name: str | None = None) -> type[Self]:
        """As in Django; a plain ``QuerySet`` class becomes a ``ReplicaQuerySet`` too."""
        class_name = class_name or f"{cls.__name__}From{queryset_class.__name__}"
        return super().from_queryset(_with_routing(queryset_class), class_name)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        messages = super().check(**kwargs)
        bases = [base for base in self.model.mro() if base in (ReplicaMixin, models.Model)]
        if bases[0] is ReplicaMixin or any(isinstance(each, ReplicaRouter) for each in router.routers):
            return messages
        return [
            *messages,
            Error(
                f"{self.model.__name__}.{self.name} is a ReplicaManager, but its objects would be saved to the replica "
                "that they were read from.",
                hint="Inherit it from multidb.ReplicaMixin before models.Model, or use multidb.PinningReplicaRouter.",
                obj=self.model,
                id="multidb.E040",
            ),
        ]


class ReplicaMixin:
    """Objects belong to the primary wherever they were read: ``save``, ``delete`` and related managers write there.

    Put it before ``models.Model`` in the bases. A ``using`` that is given still decides.
    """

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        made: Self = super().from_db(_primary(db), field_names, values, **kwargs)  # type: ignore[misc]  # models.Model is beside it
        return made


class _OfThePrimary(ModelIterable):  # type: ignore[type-arg]  # generic in the stubs only
    """Objects whose related ones, read in the same query, belong to the primary too, whatever their models are."""

    queryset: Any

    def __iter__(self) -> Iterator[Any]:
        known = [each for by_key in self.queryset._known_related_objects.values() for each in by_key.values()]
        for each in known:
            each._state.db = _primary(each._state.db)
        for read in super().__iter__():
            read._state.db = _primary(read._state.db)
            if self.queryset.query.select_related:
                # Not through those that were there before, and what the project has linked to them.
                _give_to_primary(read, {id(each) for each in known})
            yield read


def _give_to_primary(read: models.Model, given: set[int]) -> None:
    """Give ``read`` to the primary, and all that came along: in its fields or, by ``FilteredRelation``, beside them."""
    given.add(id(read))
    read._state.db = _primary(read._state.db)
    for related in (*read._state.fields_cache.values(), *vars(read).values()):
        if isinstance(related, models.Model) and id(related) not in given:
            _give_to_primary(related, given)


def _primary(alias: str | None) -> str | None:
    return alias and topology().primary_of.get(alias, alias)


class _ModelRouter(PinningReplicaRouter):
    """The rules of ``PinningReplicaRouter`` for a model's own manager, whatever routers the project has."""

    def primary_for(self, model: Any, **hints: Any) -> str:
        alias = router.db_for_write(model, **hints)
        return topology().primary_of.get(alias, alias)


_ROUTER = _ModelRouter()


@cache
def _with_routing(queryset_class: type[models.QuerySet[Any]]) -> type[ReplicaQuerySet[Any]]:
    if issubclass(queryset_class, ReplicaQuerySet):
        return queryset_class
    if issubclass(ReplicaQuerySet, queryset_class):
        return ReplicaQuerySet

    def reduce(queryset: Any) -> tuple[Any, ...]:
        return _unpickled, (queryset_class,), queryset.__getstate__()

    return type(queryset_class.__name__, (queryset_class, ReplicaQuerySet), {"__reduce__": reduce})


def _unpickled(queryset_class: type[models.QuerySet[Any]]) -> Any:
    """An empty queryset of the class that ``_with_routing`` made, which pickle cannot find by its name."""
    combined = _with_routing(queryset_class)
    return combined.__new__(combined)
