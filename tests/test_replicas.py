"""Replicas take turns by weight, and each primary has its own."""

import itertools
from collections import Counter

import pytest
from django.core.exceptions import ImproperlyConfigured

from multidb import get_replica
from multidb.replicas import choose, choose_replayed, topology


def test_replicas_take_turns() -> None:
    taken = [get_replica() for _ in range(6)]
    assert set(taken[:2]) == {"replica-1", "replica-2"}
    assert taken == taken[:2] * 3


def test_a_list_or_a_setting_that_names_none_gives_the_primary(settings) -> None:
    settings.REPLICA_DATABASES = []
    assert get_replica() == "default"
    del settings.REPLICA_DATABASES
    assert get_replica() == "default"


def test_turns_go_by_weight_and_are_spread(settings) -> None:
    settings.REPLICA_DATABASES = {"default": {"replica-1": 3, "replica-2": 1}}
    taken = [get_replica() for _ in range(8)]
    for start in range(4):
        assert Counter(taken[start : start + 4]) == {"replica-1": 3, "replica-2": 1}


def test_equal_weights_alternate_whatever_they_are(settings) -> None:
    settings.REPLICA_DATABASES = {"default": {"replica-1": 50, "replica-2": 50}}
    taken = [get_replica() for _ in range(100)]
    assert all(first != second for first, second in itertools.pairwise(taken))


def test_each_primary_has_its_own_replicas(settings) -> None:
    settings.REPLICA_DATABASES = {"default": ["replica-1"], "users": ["users-replica"]}
    assert get_replica("users") == "users-replica"
    assert get_replica("default") == get_replica() == "replica-1"
    assert get_replica("elsewhere") == "elsewhere"
    assert topology().primary_of == {"replica-1": "default", "users-replica": "users"}


def test_the_setting_is_read_anew_only_when_it_is_another(settings) -> None:
    first = topology()
    assert topology() is first
    settings.REPLICA_DATABASES = ["replica-2"]
    assert get_replica() == "replica-2"


def test_slave_databases_works_and_warns_with_the_new_name(settings) -> None:
    settings.SLAVE_DATABASES = ["replica-2"]
    del settings.REPLICA_DATABASES
    with pytest.warns(DeprecationWarning, match="use REPLICA_DATABASES"):
        assert get_replica() == "replica-2"


def test_an_impossible_setting_raises_when_used(settings) -> None:
    settings.REPLICA_DATABASES = ["replica-3"]
    with pytest.raises(ImproperlyConfigured, match="'replica-3'"):
        get_replica()


def test_workers_do_not_all_begin_with_the_same_replica(settings) -> None:
    begun = set()
    for _ in range(50):
        settings.REPLICA_DATABASES = ["replica-1", "replica-2"]
        begun.add(get_replica())
    assert begun == {"replica-1", "replica-2"}


def test_what_is_avoided_is_not_chosen() -> None:
    assert {choose("default", {"replica-1"}) for _ in range(6)} == {"replica-2"}
    assert choose("default", {"replica-1", "replica-2"}) == "default"


def test_the_others_share_by_weight_what_one_leaves(settings) -> None:
    settings.REPLICA_DATABASES = {"default": {"replica-1": 1, "replica-2": 1, "users-replica": 8}}
    orders = [list(topology().in_turn("default")) for _ in range(2000)]
    second = Counter(order[1] for order in orders if order[0] == "replica-1")
    assert second["users-replica"] > second["replica-2"] > 0


def test_no_more_than_three_replicas_are_asked_for_a_position(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REPLICA_DATABASES = ["replica-1", "replica-2", "users", "users-replica"]
    asked: list[str] = []
    monkeypatch.setattr("multidb.health.is_usable", lambda alias: True)
    monkeypatch.setattr("multidb.health.has_replayed", lambda alias, position: asked.append(alias))
    assert choose_replayed("default", {"lsn": "0000000000000001"}) is None
    assert len(set(asked)) == len(asked) == 3
