"""KeptReplicas by itself; what requests make of it is in ``test_request_routing.py`` and ``test_rerun.py``."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from multidb import health
from multidb.kept_replicas import KeptReplicas
from tests import vendor
from tests.conftest import REPLICAS, Replication
from tests.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

WROTE_ONE_POST = {"posts": "0000000000000001"}


@pytest.fixture
def kept() -> KeptReplicas:
    """What a request keeps that has read nothing yet."""
    return KeptReplicas()


@pytest.fixture
def _lagging(replication: Replication, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replicas have not replayed the one post that the primary has."""
    vendor.use(monkeypatch)
    Post.objects.create(text="mine")


def test_a_replica_is_chosen_once(kept: KeptReplicas) -> None:
    assert {kept.choose("default") for _ in range(4)} == {kept.kept["default"]}
    assert kept.kept["default"] in REPLICAS


@pytest.mark.usefixtures("_lagging")
class TestReplayed:
    def test_the_replica_that_has_replayed_is_kept(self, kept: KeptReplicas, replication: Replication) -> None:
        replication.catch_up("replica-2")
        assert kept.has_replayed("default", WROTE_ONE_POST)
        assert {kept.choose("default") for _ in range(4)} == {"replica-2"}

    def test_no_other_is_chosen_instead_of_the_one_that_is_kept(
        self, kept: KeptReplicas, replication: Replication
    ) -> None:
        """The request would see two states of the data."""
        [other] = {alias for alias in REPLICAS if alias != kept.choose("default")}
        replication.catch_up(other)
        assert not kept.has_replayed("default", WROTE_ONE_POST)

    def test_where_none_had_none_is_asked_again(self, kept: KeptReplicas, replication: Replication) -> None:
        assert not kept.is_known_behind("default", WROTE_ONE_POST)
        assert not kept.has_replayed("default", WROTE_ONE_POST)
        assert kept.is_known_behind("default", WROTE_ONE_POST)
        replication.catch_up()
        vendor.asked.clear()
        assert not kept.has_replayed("default", WROTE_ONE_POST)
        assert vendor.asked == []
        assert kept.has_replayed("default", {"posts": "0000000000000000"})

    def test_two_threads_that_choose_at_once_keep_one_replica(
        self, kept: KeptReplicas, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the one that has chosen another is told that this one may not have replayed it."""

        def choose_after_another_thread(*args: Any) -> str:
            return next(alias for alias in REPLICAS if alias != kept.choose("default"))

        with monkeypatch.context() as patch:
            patch.setattr("multidb.kept_replicas.choose_replayed", choose_after_another_thread)
            assert not kept.has_replayed("default", {"posts": "0000000000000000"})
        assert kept.has_replayed("default", {"posts": "0000000000000000"})

    async def test_on_an_event_loop_nobody_knows(self, kept: KeptReplicas, monkeypatch: pytest.MonkeyPatch) -> None:
        """And nothing is settled: a thread that can ask finds out."""
        for alias in REPLICAS:
            monkeypatch.setattr(connections[alias], "connection", None)
        assert not kept.has_replayed("default", {"posts": "0000000000000000"})
        assert await sync_to_async(kept.has_replayed)("default", {"posts": "0000000000000000"})


async def test_on_an_event_loop_a_replica_is_proposed_to_the_thread_that_can_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same at each read. Else each request would take two turns, and some replicas get none."""
    for alias in REPLICAS:
        monkeypatch.setattr(connections[alias], "connection", None)
    for refused in ((), ("replica-1",), ("replica-2",)):
        kept = KeptReplicas()
        [proposed] = {kept.choose("default") for _ in range(4)}
        assert kept.kept == {}
        with monkeypatch.context() as patch:
            patch.setattr(health, "is_usable", lambda alias, refused=refused: alias not in refused)
            chosen = await sync_to_async(kept.choose)("default")
        assert chosen not in refused
        assert chosen == proposed or proposed in refused
        assert {kept.choose("default") for _ in range(4)} == {chosen}


class TestAfterTheEnd:
    """What goes on, as a task, would fail for ever on a replica that is down."""

    @pytest.fixture
    def ended(self, kept: KeptReplicas) -> KeptReplicas:
        """What a request kept that has ended."""
        kept.choose("default")
        kept.has_ended = True
        return kept

    def test_a_replica_is_kept_while_it_can_be_asked(
        self, ended: KeptReplicas, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = ended.kept["default"]
        assert {ended.choose("default") for _ in range(4)} == {first}
        [other] = [alias for alias in REPLICAS if alias != first]
        monkeypatch.setattr(health, "is_usable", lambda alias: alias == other)
        assert {ended.choose("default") for _ in range(4)} == {other}

    def test_the_primary_is_not_kept(self, ended: KeptReplicas, monkeypatch: pytest.MonkeyPatch) -> None:
        """It stood in for replicas that were all down."""
        with monkeypatch.context() as patch:
            patch.setattr(health, "is_usable", lambda alias: False)
            assert ended.choose("default") == "default"
        assert ended.choose("default") in REPLICAS

    @pytest.mark.usefixtures("_lagging")
    def test_another_has_to_have_replayed_the_pin_too(
        self, ended: KeptReplicas, replication: Replication, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = ended.kept["default"]
        [other] = [alias for alias in REPLICAS if alias != first]
        replication.catch_up(other)
        monkeypatch.setattr(health, "is_usable", lambda alias: alias == other)
        assert ended.has_replayed("default", WROTE_ONE_POST)
        assert ended.kept == {"default": other}
