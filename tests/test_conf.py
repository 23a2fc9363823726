"""Each setting has its default, is read when used, and says what is wrong with it."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from multidb.conf import conf


def test_defaults(settings) -> None:
    del settings.REPLICA_DATABASES
    assert conf.replica_databases == {"default": {}}
    assert conf.pinning_seconds == 15
    assert conf.pinning_cookie == "multidb_pin_writes"
    assert conf.pinning_cookie_secure is False
    assert conf.pinning_cookie_httponly is False
    assert conf.pinning_cookie_samesite == "Lax"
    assert conf.pin_store == ("multidb.backends.cookie.SignedCookiePinStore", {})
    assert conf.pinning_until == "elapsed"
    assert conf.pinning_trigger == "method"
    assert conf.pinning_ignore == []
    assert conf.retry_seconds == 5
    assert conf.max_replica_lag is None
    assert conf.guard_replicas is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["replica-1", "replica-2"], {"default": {"replica-1": 1, "replica-2": 1}}),
        (("replica-1", "replica-1", "replica-2"), {"default": {"replica-1": 2, "replica-2": 1}}),
        ({}, {"default": {}}),
        ({"users": ["users-replica"]}, {"users": {"users-replica": 1}}),
        (
            {"default": {"replica-1": 1, "replica-2": 3}, "users": []},
            {"default": {"replica-1": 1, "replica-2": 3}, "users": {}},
        ),
    ],
)
def test_each_form_of_replica_databases(settings, value: object, expected: object) -> None:
    settings.REPLICA_DATABASES = value
    assert conf.replica_databases == expected


def test_slave_databases_counts_only_where_replica_databases_is_not_set(settings) -> None:
    settings.SLAVE_DATABASES = ["replica-2"]
    assert list(conf.replica_databases["default"]) == ["replica-1", "replica-2"]
    del settings.REPLICA_DATABASES
    assert list(conf.replica_databases["default"]) == ["replica-2"]


@pytest.mark.parametrize(
    ("setting", "attribute", "value", "expected"),
    [
        ("MULTIDB_PINNING_SECONDS", "pinning_seconds", "30", 30),
        ("MULTIDB_PINNING_SECONDS", "pinning_seconds", 0.5, 0.5),
        ("MULTIDB_PINNING_COOKIE", "pinning_cookie", "__Host-pin", "__Host-pin"),
        ("MULTIDB_PINNING_COOKIE_SECURE", "pinning_cookie_secure", 1, True),
        ("MULTIDB_PINNING_COOKIE_HTTPONLY", "pinning_cookie_httponly", True, True),
        ("MULTIDB_PINNING_COOKIE_SAMESITE", "pinning_cookie_samesite", "strict", "strict"),
        ("MULTIDB_PINNING_COOKIE_SAMESITE", "pinning_cookie_samesite", False, False),
        ("MULTIDB_PINNING_COOKIE_SAMESITE", "pinning_cookie_samesite", None, None),
        ("MULTIDB_PINNING_UNTIL", "pinning_until", "elapsed", "elapsed"),
        ("MULTIDB_PINNING_UNTIL", "pinning_until", "replayed", "replayed"),
        ("MULTIDB_PINNING_TRIGGER", "pinning_trigger", "method", "method"),
        ("MULTIDB_PINNING_TRIGGER", "pinning_trigger", "write", "write"),
        ("MULTIDB_PINNING_IGNORE", "pinning_ignore", ("sessions",), ["sessions"]),
        ("MULTIDB_PINNING_IGNORE", "pinning_ignore", ["auth.User.last_login"], ["auth.User.last_login"]),
        ("MULTIDB_PIN_STORE_DOWN", "pin_store_down", "primary", "primary"),
        ("MULTIDB_PIN_STORE_DOWN", "pin_store_down", "replica", "replica"),
        ("MULTIDB_RETRY_SECONDS", "retry_seconds", "0.5", 0.5),
        ("MULTIDB_RETRY_SECONDS", "retry_seconds", 86400, 86400),
        ("MULTIDB_MAX_REPLICA_LAG", "max_replica_lag", None, None),
        ("MULTIDB_MAX_REPLICA_LAG", "max_replica_lag", "3", 3),
        ("MULTIDB_MAX_REPLICA_LAG", "max_replica_lag", 0.1, 0.1),
        ("MULTIDB_GUARD_REPLICAS", "guard_replicas", False, False),
        ("MULTIDB_GUARD_REPLICAS", "guard_replicas", 1, True),
    ],
)
def test_a_value_that_is_allowed(settings, setting: str, attribute: str, value: object, expected: object) -> None:
    setattr(settings, setting, value)
    assert getattr(conf, attribute) == expected


IMPOSSIBLE = [
    ("REPLICA_DATABASES", "replica_databases", value, id, words)
    for value, id, words in [
        ("replica-1", "multidb.E001", ["'replica-1'", "list of aliases"]),
        (None, "multidb.E001", ["None"]),
        ({"default": "replica-1"}, "multidb.E001", ["'replica-1'"]),
        (["replica-3"], "multidb.E002", ["'replica-3'", "'replica-1', 'replica-2'"]),
        ([["replica-1"]], "multidb.E002", ["['replica-1']"]),
        ({"nowhere": ["replica-1"]}, "multidb.E002", ["'nowhere'"]),
        (["default", "replica-1"], "multidb.E003", ["'default'"]),
        ({"default": ["replica-1"], "users": ["replica-1"]}, "multidb.E004", ["'replica-1'", "'default'", "'users'"]),
        ({"default": {"replica-1": 0}}, "multidb.E005", ["'replica-1'", "0", "1 to 100"]),
        ({"default": {"replica-1": True}}, "multidb.E005", ["True"]),
        ({"default": {"replica-1": 101}}, "multidb.E005", ["101"]),
        ({"default": {"replica-1": 1.5}}, "multidb.E005", ["1.5"]),
    ]
] + [
    (f"MULTIDB_{attribute.upper()}", attribute, value, id, [repr(value), *words])
    for attribute, value, id, words in [
        ("pinning_seconds", 0, "multidb.E010", ["above 0"]),
        ("pinning_seconds", -1, "multidb.E010", []),
        ("pinning_seconds", "soon", "multidb.E010", []),
        ("pinning_seconds", None, "multidb.E010", []),
        ("pinning_seconds", 10**400, "multidb.E010", []),
        ("pinning_seconds", True, "multidb.E010", []),
        ("pinning_seconds", float("nan"), "multidb.E010", []),
        ("pinning_seconds", float("inf"), "multidb.E010", ["31536000"]),
        ("pinning_cookie", "", "multidb.E011", ["RFC 6265"]),
        ("pinning_cookie", "a b", "multidb.E011", []),
        ("pinning_cookie", "a=b", "multidb.E011", []),
        ("pinning_cookie", "pin\n", "multidb.E011", []),
        ("pinning_cookie", "path", "multidb.E011", ["attribute"]),
        ("pinning_cookie", "Max-Age", "multidb.E011", []),
        ("pinning_cookie", None, "multidb.E011", []),
        ("pinning_cookie_secure", "False", "multidb.E012", ["True or False"]),
        ("pinning_cookie_httponly", "yes", "multidb.E012", []),
        ("pinning_cookie_samesite", "Loose", "multidb.E013", ["'Lax'"]),
        ("pinning_cookie_samesite", True, "multidb.E013", []),
        ("pinning_until", "tomorrow", "multidb.E014", ["'elapsed', 'replayed'"]),
        ("pinning_until", "Replayed", "multidb.E014", []),
        ("pinning_until", None, "multidb.E014", []),
        ("pinning_until", ["replayed"], "multidb.E014", []),
        ("pinning_trigger", "always", "multidb.E015", ["'method', 'write'"]),
        ("pinning_trigger", True, "multidb.E015", []),
        ("pinning_trigger", {}, "multidb.E015", []),
        ("pinning_ignore", "sessions", "multidb.E019", ["list", "'app.Model.field'"]),
        ("pinning_ignore", None, "multidb.E019", []),
        ("pinning_ignore", [1], "multidb.E019", []),
        ("pinning_ignore", ["sessions", ("auth", "User")], "multidb.E019", []),
        ("retry_seconds", 0, "multidb.E027", ["above 0", "86400"]),
        ("retry_seconds", -5, "multidb.E027", []),
        ("retry_seconds", "soon", "multidb.E027", []),
        ("retry_seconds", None, "multidb.E027", []),
        ("retry_seconds", False, "multidb.E027", []),
        ("retry_seconds", float("nan"), "multidb.E027", []),
        ("retry_seconds", 86401, "multidb.E027", []),
        ("max_replica_lag", 0, "multidb.E028", ["above 0", "31536000"]),
        ("max_replica_lag", -1, "multidb.E028", []),
        ("max_replica_lag", "", "multidb.E028", []),
        ("max_replica_lag", True, "multidb.E028", []),
        ("max_replica_lag", [3], "multidb.E028", []),
        ("max_replica_lag", float("inf"), "multidb.E028", []),
        ("guard_replicas", "False", "multidb.E029", ["True or False"]),
        ("guard_replicas", None, "multidb.E029", []),
        ("guard_replicas", ["replica-1"], "multidb.E029", []),
        ("pin_store_down", "replicas", "multidb.E030", ["'primary', 'replica'"]),
        ("pin_store_down", "default", "multidb.E030", []),
        ("pin_store_down", None, "multidb.E030", []),
        ("pin_store_down", False, "multidb.E030", []),
        ("pin_store_down", ["primary"], "multidb.E030", []),
        ("pin_store", "multidb.backends.cookie.SignedCookiePinStore", "multidb.E020", ["BACKEND"]),
        ("pin_store", {}, "multidb.E020", []),
        ("pin_store", {"BACKEND": 1}, "multidb.E020", []),
        ("pin_store", {"BACKEND": "a.b", "OPTIONS": []}, "multidb.E020", []),
        ("pin_store", {"BACKEND": "a.b", "LOCATION": "x"}, "multidb.E020", ["OPTIONS"]),
    ]
]


@pytest.mark.parametrize(("setting", "attribute", "value", "id", "words"), IMPOSSIBLE)
def test_an_impossible_value_raises_naming_the_setting_what_was_given_and_what_is_allowed(
    settings, setting: str, attribute: str, value: object, id: str, words: list[str]
) -> None:
    setattr(settings, setting, value)
    with pytest.raises(ImproperlyConfigured) as raised:
        getattr(conf, attribute)
    assert raised.value.id == id
    assert [word for word in [setting, *words] if word not in str(raised.value)] == []
