"""Every setting: one property each, with its default and its meaning.

Nothing is cached, so ``override_settings`` works. An impossible value raises ``SettingError``, which says what
``manage.py check`` says about it.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from http.cookies import Morsel
from typing import Any, Final, Literal, NamedTuple, cast

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

DEFAULT_PIN_STORE: Final = {"BACKEND": "multidb.backends.cookie.SignedCookiePinStore"}
LARGEST_WEIGHT: Final = 100
LONGEST_PIN_SECONDS: Final = 365 * 24 * 60 * 60

SameSite = Literal["Lax", "Strict", "None", False] | None

# A cookie's name is a token: https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1
COOKIE_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class SettingError(ImproperlyConfigured):
    """A setting has a value that cannot be used.

    ``id`` is the id of the system check that reports the same, ``hint`` says what to do about it.
    """

    def __init__(self, id: str, problem: str, hint: str) -> None:
        super().__init__(f"{problem} {hint}")
        self.id = id
        self.problem = problem
        self.hint = hint

    def as_check(self) -> CheckMessage:
        """The same for ``manage.py check``."""
        return Error(self.problem, hint=self.hint, id=self.id)


class PinStoreSetting(NamedTuple):
    backend: str
    options: Mapping[str, Any]


class Conf:
    """The settings of multidb, read from Django's at each access."""

    @property
    def replica_databases(self) -> dict[str, dict[str, int]]:
        """``{primary: {replica: weight}}``, from any of the three forms of ``REPLICA_DATABASES``.

        An alias given twice in a list has twice the weight.
        """
        for error in self.replica_database_errors():
            raise error
        return {primary: _weights(replicas) for primary, replicas in _by_primary(self.raw_replica_databases).items()}

    @property
    def raw_replica_databases(self) -> Any:
        """The value of ``REPLICA_DATABASES`` as it stands, or of ``SLAVE_DATABASES`` where only that is set."""
        return getattr(settings, self.replica_databases_name, _NO_REPLICAS)

    @property
    def replica_databases_name(self) -> str:
        """``"SLAVE_DATABASES"`` in a project that has only the deprecated setting."""
        if not hasattr(settings, "REPLICA_DATABASES") and hasattr(settings, "SLAVE_DATABASES"):
            return "SLAVE_DATABASES"
        return "REPLICA_DATABASES"

    def replica_database_errors(self) -> Iterator[SettingError]:
        """Everything that is impossible about ``REPLICA_DATABASES``."""
        yield from _replica_database_errors(self.replica_databases_name, self.raw_replica_databases)

    @property
    def pinning_seconds(self) -> int | float:
        """``MULTIDB_PINNING_SECONDS``: the longest that a pin holds. At most a year."""
        seconds = _seconds("MULTIDB_PINNING_SECONDS", 15, LONGEST_PIN_SECONDS, "multidb.E010")
        return int(seconds) if seconds.is_integer() else seconds

    @property
    def pinning_cookie(self) -> str:
        """``MULTIDB_PINNING_COOKIE``: the name of the cookie."""
        value = getattr(settings, "MULTIDB_PINNING_COOKIE", "multidb_pin_writes")
        if not isinstance(value, str) or not COOKIE_NAME.fullmatch(value) or Morsel().isReservedKey(value):
            raise SettingError(
                "multidb.E011",
                f"MULTIDB_PINNING_COOKIE is {value!r}, which is not the name of a cookie.",
                "Use ASCII letters, digits and !#$%&'*+-.^_`|~ only (RFC 6265), and no name of an attribute ('path').",
            )
        return value

    @property
    def pinning_cookie_secure(self) -> bool:
        """``MULTIDB_PINNING_COOKIE_SECURE``: the cookie is sent over HTTPS only."""
        return _boolean("MULTIDB_PINNING_COOKIE_SECURE")

    @property
    def pinning_cookie_httponly(self) -> bool:
        """``MULTIDB_PINNING_COOKIE_HTTPONLY``: the page's scripts cannot read the cookie."""
        return _boolean("MULTIDB_PINNING_COOKIE_HTTPONLY")

    @property
    def pinning_cookie_samesite(self) -> SameSite:
        """``MULTIDB_PINNING_COOKIE_SAMESITE``: as in ``HttpResponse.set_cookie``; ``None`` sets no attribute."""
        value = getattr(settings, "MULTIDB_PINNING_COOKIE_SAMESITE", "Lax")
        allowed = isinstance(value, str) and value.lower() in ("lax", "strict", "none")
        if not allowed and value is not None and value is not False:
            raise SettingError(
                "multidb.E013",
                f"MULTIDB_PINNING_COOKIE_SAMESITE is {value!r}.",
                "Set 'Lax', 'Strict', 'None', or None for no SameSite attribute.",
            )
        return cast("SameSite", value)

    @property
    def pin_store(self) -> PinStoreSetting:
        """``MULTIDB_PIN_STORE``: ``BACKEND`` and ``OPTIONS``, as in Django's ``STORAGES``."""
        value = self.raw_pin_store
        if (
            not isinstance(value, Mapping)
            or not isinstance(value.get("BACKEND"), str)
            or not isinstance(value.get("OPTIONS", {}), Mapping)
            or not value.keys() <= {"BACKEND", "OPTIONS"}
        ):
            raise SettingError(
                "multidb.E020",
                f"MULTIDB_PIN_STORE is {value!r}.",
                'Set {"BACKEND": "path.to.PinStore"}, and "OPTIONS": {...} if it takes any.',
            )
        return PinStoreSetting(value["BACKEND"], value.get("OPTIONS", {}))

    @property
    def raw_pin_store(self) -> Any:
        """The value of ``MULTIDB_PIN_STORE`` as it stands."""
        return getattr(settings, "MULTIDB_PIN_STORE", DEFAULT_PIN_STORE)

    @property
    def pinning_until(self) -> str:
        """``MULTIDB_PINNING_UNTIL``: ``"elapsed"``, a pin holds for its seconds; ``"replayed"``, until a replica has
        replayed the write, and at most for its seconds.
        """
        return _choice("MULTIDB_PINNING_UNTIL", ["elapsed", "replayed"], "multidb.E014")

    @property
    def pinning_trigger(self) -> str:
        """``MULTIDB_PINNING_TRIGGER``: ``"method"``, a request pins by its method or by ``db_write``; ``"write"``, by a
        write that it made.
        """
        return _choice("MULTIDB_PINNING_TRIGGER", ["method", "write"], "multidb.E015")

    @property
    def pinning_ignore(self) -> list[str]:
        """``MULTIDB_PINNING_IGNORE``: app labels, ``app.Model``s and ``app.Model.field``s whose writes do not pin."""
        value = self.raw_pinning_ignore
        strings = not isinstance(value, str) and isinstance(value, Collection)
        if not strings or not all(isinstance(label, str) for label in value):
            raise SettingError(
                "multidb.E019",
                f"MULTIDB_PINNING_IGNORE is {value!r}.",
                "Set a list of app labels, 'app.Model's and 'app.Model.field's.",
            )
        return list(value)

    @property
    def raw_pinning_ignore(self) -> Any:
        """The value of ``MULTIDB_PINNING_IGNORE`` as it stands."""
        return getattr(settings, "MULTIDB_PINNING_IGNORE", _NOTHING)

    @property
    def retry_seconds(self) -> float:
        """``MULTIDB_RETRY_SECONDS``: how long a replica that failed is left alone, give or take a fifth."""
        return _seconds("MULTIDB_RETRY_SECONDS", 5, 24 * 60 * 60, "multidb.E027")

    @property
    def max_replica_lag(self) -> float | None:
        """``MULTIDB_MAX_REPLICA_LAG``: a replica that is further behind is left alone. ``None``: however far it is."""
        if getattr(settings, "MULTIDB_MAX_REPLICA_LAG", None) is None:
            return None
        return _seconds("MULTIDB_MAX_REPLICA_LAG", 0, LONGEST_PIN_SECONDS, "multidb.E028")

    @property
    def guard_replicas(self) -> bool:
        """``MULTIDB_GUARD_REPLICAS``: replica connections refuse writes, by the database's own read-only mode."""
        return _boolean("MULTIDB_GUARD_REPLICAS", True, "multidb.E029")


# One object each, so that what is built from a setting is built once.
_NO_REPLICAS: Final[list[str]] = []
_NOTHING: Final[list[str]] = []


def _choice(name: str, allowed: list[str], id: str) -> str:
    value = getattr(settings, name, allowed[0])
    if value not in allowed:
        raise SettingError(id, f"{name} is {value!r}.", f"Allowed: {_listed(allowed)}.")
    return str(value)


def _seconds(name: str, default: float, longest: int, id: str) -> float:
    value = getattr(settings, name, default)
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds <= longest:
        raise SettingError(id, f"{name} is {value!r}.", f"Set a number of seconds above 0 and at most {longest}.")
    return seconds


def _boolean(name: str, default: bool = False, id: str = "multidb.E012") -> bool:
    value = getattr(settings, name, default)
    if value not in (True, False):
        raise SettingError(id, f"{name} is {value!r}.", "Set True or False.")
    return bool(value)


def _by_primary(value: Any) -> Mapping[str, Any]:
    by_primary = isinstance(value, Mapping) and value
    return value if by_primary else {DEFAULT_DB_ALIAS: value}


def _weights(replicas: Any) -> dict[str, int]:
    if isinstance(replicas, Mapping):
        return dict(replicas)
    weights: dict[str, int] = {}
    for replica in replicas:
        weights[replica] = weights.get(replica, 0) + 1
    return weights


def _listed(values: Collection[str]) -> str:
    return ", ".join(map(repr, values)) or "none"


def _replica_database_errors(name: str, value: Any) -> Iterator[SettingError]:
    primaries = _by_primary(value)
    seen: dict[str, str] = {}
    for primary, replicas in primaries.items():
        if not isinstance(replicas, Collection) or isinstance(replicas, str | bytes):
            yield SettingError(
                "multidb.E001",
                f"{name} is {value!r}.",
                "Set a list of aliases, {primary: [aliases]} or {primary: {alias: weight}}.",
            )
            continue
        for alias in [primary, *replicas]:
            yield from _alias_errors(name, alias)
        for replica in replicas:
            yield from _replica_errors(name, replica, primary, primaries, seen)
        if isinstance(replicas, Mapping):
            yield from _weight_errors(name, replicas)


def _alias_errors(name: str, alias: Any) -> Iterator[SettingError]:
    if alias not in list(connections.settings):
        yield SettingError(
            "multidb.E002",
            f"{name} names {alias!r}, which is not in DATABASES.",
            f"Allowed: {_listed(list(connections.settings))}.",
        )


def _replica_errors(
    name: str, replica: Any, primary: str, primaries: Mapping[str, Any], seen: dict[str, str]
) -> Iterator[SettingError]:
    if replica in list(primaries):
        yield SettingError(
            "multidb.E003",
            f"{name} lists the primary {replica!r} as a replica.",
            "Take it out: reads that need the primary find it by themselves.",
        )
    elif isinstance(replica, str) and seen.setdefault(replica, primary) != primary:
        yield SettingError(
            "multidb.E004",
            f"{name} lists {replica!r} under {seen[replica]!r} and under {primary!r}.",
            "A replica is a copy of one primary: leave it under that one.",
        )


def _weight_errors(name: str, weights: Mapping[str, Any]) -> Iterator[SettingError]:
    for replica, weight in weights.items():
        if type(weight) is not int or not 1 <= weight <= LARGEST_WEIGHT:
            yield SettingError(
                "multidb.E005",
                f"{name} gives {replica!r} the weight {weight!r}.",
                f"Set a whole number from 1 to {LARGEST_WEIGHT}.",
            )


conf = Conf()
