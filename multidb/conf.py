"""Every setting: one property each, with its default and its meaning.

Nothing is cached, so ``override_settings`` works. An impossible value raises ``SettingError``, which says what
``manage.py check`` says about it.
"""

import inspect
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from http.cookies import Morsel
from typing import Any, Final, Literal, NamedTuple, cast

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import empty
from django.utils.module_loading import import_string

from multidb import replica_databases
from multidb.setting_error import UNIMPORTABLE, SettingError

DEFAULT_PIN_STORE: Final = {"BACKEND": "multidb.backends.cookie.SignedCookiePinStore"}
LONGEST_PIN_SECONDS: Final = 365 * 24 * 60 * 60

SameSite = Literal["Lax", "Strict", "None", False] | None

# A cookie's name is a token: https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1
COOKIE_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


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
        by_primary = replica_databases.by_primary(self.raw_replica_databases)
        return {primary: replica_databases.weights(replicas) for primary, replicas in by_primary.items()}

    @property
    def raw_replica_databases(self) -> Any:
        """The value of ``REPLICA_DATABASES`` as it stands, or of ``SLAVE_DATABASES`` where only that is set."""
        value = _value("REPLICA_DATABASES", _UNSET)
        return _value("SLAVE_DATABASES", _NO_REPLICAS) if value is _UNSET else value

    @property
    def replica_databases_name(self) -> str:
        """``"SLAVE_DATABASES"`` in a project that has only the deprecated setting."""
        if _value("REPLICA_DATABASES", _UNSET) is _UNSET and _value("SLAVE_DATABASES", _UNSET) is not _UNSET:
            return "SLAVE_DATABASES"
        return "REPLICA_DATABASES"

    def replica_database_errors(self) -> Iterator[SettingError]:
        """Everything that is impossible about ``REPLICA_DATABASES``."""
        yield from replica_databases.errors(self.replica_databases_name, self.raw_replica_databases)

    @property
    def pinning_seconds(self) -> int | float:
        """``MULTIDB_PINNING_SECONDS``: the longest that a pin holds. At most a year."""
        seconds = _seconds("MULTIDB_PINNING_SECONDS", 15, LONGEST_PIN_SECONDS, "multidb.E010")
        return int(seconds) if seconds.is_integer() else seconds

    @property
    def pinning_cookie(self) -> str:
        """``MULTIDB_PINNING_COOKIE``: the name of the cookie."""
        value = _value("MULTIDB_PINNING_COOKIE", "multidb_pin_writes")
        if not isinstance(value, str) or not _names_cookie(value):
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
        value = _value("MULTIDB_PINNING_COOKIE_SAMESITE", "Lax")
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
        return _value("MULTIDB_PIN_STORE", DEFAULT_PIN_STORE)

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
        return _value("MULTIDB_PINNING_IGNORE", _NOTHING)

    @property
    def pin_store_down(self) -> str:
        """``MULTIDB_PIN_STORE_DOWN``: where reads go while the store cannot tell and no pin is known all the same:
        ``"primary"`` or ``"replica"``.
        """
        return _choice("MULTIDB_PIN_STORE_DOWN", ["primary", "replica"], "multidb.E030")

    @property
    def retry_seconds(self) -> float:
        """``MULTIDB_RETRY_SECONDS``: how long a replica or store that failed is left alone, give or take a fifth."""
        return _seconds("MULTIDB_RETRY_SECONDS", 5, 24 * 60 * 60, "multidb.E027")

    @property
    def max_replica_lag(self) -> float | None:
        """``MULTIDB_MAX_REPLICA_LAG``: a replica that is further behind is left alone. ``None``: however far it is."""
        if _value("MULTIDB_MAX_REPLICA_LAG", None) is None:
            return None
        return _seconds("MULTIDB_MAX_REPLICA_LAG", 0, LONGEST_PIN_SECONDS, "multidb.E028")

    @property
    def routing(self) -> bool | str | Callable[[HttpRequest], Any]:
        """``MULTIDB_ROUTING``: ``True``, reads go where the rules send them; ``False``, to the primary; ``"dry run"``,
        there too, while log and metrics say where the rules would have sent them. Or a function of the request that
        returns one of these, or the dotted path to one.
        """
        value = _value("MULTIDB_ROUTING", True)
        if value is True or value is False or value == "dry run":
            return cast("bool | str", value)
        return _function("MULTIDB_ROUTING", value, "Set True, False, 'dry run', {a_function}.", "multidb.E034")

    @property
    def explain(self) -> bool:
        """``MULTIDB_EXPLAIN``: each response says in its ``Server-Timing`` header where its reads went, and the log
        ``multidb.routing`` too.
        """
        return _value("MULTIDB_EXPLAIN", False) is not False and _boolean("MULTIDB_EXPLAIN", False, "multidb.E035")

    @property
    def guard_replicas(self) -> bool:
        """``MULTIDB_GUARD_REPLICAS``: replica connections refuse writes, by the database's own read-only mode."""
        return _boolean("MULTIDB_GUARD_REPLICAS", True, "multidb.E029")


# One object each, so that what is built from a setting is built once.
_NO_REPLICAS: Final[list[str]] = []
_NOTHING: Final[list[str]] = []
_UNSET: Final = object()


def _value(name: str, default: Any) -> Any:
    """The setting ``name``, past what makes Django's settings lazy, which takes microseconds where one is not set."""
    known = object.__getattribute__(settings, "_wrapped")
    return getattr(settings if known is empty else known, name, default)


@lru_cache(maxsize=8)
def _names_cookie(value: str) -> bool:
    return COOKIE_NAME.fullmatch(value) is not None and not Morsel().isReservedKey(value)


def _choice(name: str, allowed: list[str], id: str) -> str:
    value = _value(name, allowed[0])
    if value not in allowed:
        raise SettingError(id, f"{name} is {value!r}.", f"Allowed: {', '.join(map(repr, allowed))}.")
    return str(value)


def _function(name: str, value: Any, hint: str, id: str) -> Callable[[HttpRequest], Any]:
    """``value``, a function of the request or the dotted path to one."""
    hint = hint.format(a_function="a function of the request, or the dotted path to one")
    try:
        function = import_string(value) if isinstance(value, str) else value
    except UNIMPORTABLE as error:
        raise SettingError(id, f"{name} is {value!r}, which cannot be imported ({error}).", hint) from error
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise SettingError(id, f"{name} is {value!r}.", hint)
    return cast("Callable[[HttpRequest], Any]", function)


def _seconds(name: str, default: float, longest: int, id: str) -> float:
    value = _value(name, default)
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds <= longest:
        raise SettingError(id, f"{name} is {value!r}.", f"Set a number of seconds above 0 and at most {longest}.")
    return seconds


def _boolean(name: str, default: bool = False, id: str = "multidb.E012") -> bool:
    value = _value(name, default)
    if value not in (True, False):
        raise SettingError(id, f"{name} is {value!r}.", "Set True or False.")
    return bool(value)


conf = Conf()
