"""The settings in force, without what is secret in them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.views.debug import SafeExceptionReporterFilter

from multidb.conf import Conf, conf
from multidb.passwords import HIDDEN, without_passwords


@dataclass(frozen=True)
class SettingStatus:
    """One setting."""

    name: str
    value: Any
    """What it comes to, of JSON's types; what is secret is hidden."""

    default: bool
    """Whether the project does not set it."""


def settings_in_force() -> list[SettingStatus]:
    """Every setting of multidb. Raises ``ImproperlyConfigured`` for the first that is impossible."""
    found = [_status(conf.replica_databases_name, conf.replica_databases)]
    for attribute in sorted(_attributes() - {"replica_databases"}):
        name = f"MULTIDB_{attribute.upper()}"
        value = getattr(conf, attribute)
        if attribute == "pin_store":
            value = {"BACKEND": value.backend, "OPTIONS": _without_secrets(value.options)}
        found.append(_status(name, value))
    return found


def _attributes() -> set[str]:
    """The property of each setting, which has its name."""
    properties = {name for name, member in vars(Conf).items() if isinstance(member, property)}
    return {name for name in properties if not name.startswith("raw_") and not name.endswith("_name")}


def _status(name: str, value: Any) -> SettingStatus:
    return SettingStatus(name, _shown(value), not settings.is_overridden(name))  # type: ignore[misc]  # missing in the stubs


def _without_secrets(value: Any) -> Any:
    """``value`` without what is under a name that Django's page of errors would hide, too."""
    if isinstance(value, Mapping):
        return {name: HIDDEN if _is_secret(name) else _without_secrets(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(each) for each in value]
    return value


def _is_secret(name: object) -> bool:
    # The option keys is a list of names.
    return name != "keys" and SafeExceptionReporterFilter.hidden_settings.search(str(name)) is not None


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, Mapping):
        return {str(name): _shown(each) for name, each in value.items()}
    if isinstance(value, Collection) and not isinstance(value, bytes):
        return [_shown(each) for each in value]
    if callable(value):
        function = value.func if isinstance(value, partial) else value  # Without its arguments: one may be secret.
        named = function if hasattr(function, "__qualname__") else type(function)
        return f"{named.__module__}.{named.__qualname__}"
    return without_passwords(repr(value))
