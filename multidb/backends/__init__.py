"""Where pins are kept."""

import inspect
import threading
from typing import Any

from django.utils.module_loading import import_string

from multidb.backends.base import PinStore
from multidb.backends.cookie import SignedCookiePinStore
from multidb.conf import PinStoreSetting, conf
from multidb.setting_error import UNIMPORTABLE, SettingError


def get_pin_store() -> PinStore:
    """The store that ``MULTIDB_PIN_STORE`` describes, built anew only when the setting is another object.

    Raises ``ImproperlyConfigured`` if the setting is impossible.
    """
    global _built
    setting, built = conf.raw_pin_store, _built
    if built is not None and built[0] is setting:
        return built[1]
    with _building:  # A store remembers what it could not take: there is one.
        if _built is None or _built[0] is not setting:
            _built = setting, _build(conf.pin_store)
        return _built[1]


_built: tuple[Any, PinStore] | None = None

_building = threading.RLock()


def _build(setting: PinStoreSetting) -> PinStore:
    try:
        backend = import_string(setting.backend)
    except UNIMPORTABLE as error:
        raise SettingError(
            "multidb.E021",
            f"MULTIDB_PIN_STORE has the BACKEND {setting.backend!r}, which cannot be imported: {error}.",
            "Set the dotted path of a PinStore, such as multidb.backends.cookie.SignedCookiePinStore.",
        ) from error
    if not (inspect.isclass(backend) and issubclass(backend, PinStore)):
        raise SettingError(
            "multidb.E021",
            f"MULTIDB_PIN_STORE has the BACKEND {setting.backend!r}, which is no subclass of PinStore.",
            "Inherit from multidb.backends.base.PinStore.",
        )
    try:
        store = backend(**setting.options)
    except Exception as error:
        raise SettingError(
            "multidb.E025",
            f"MULTIDB_PIN_STORE: {setting.backend} cannot be made with its OPTIONS: {type(error).__name__}: {error}",
            f"It takes {_options(backend)}.",
        ) from error
    if not isinstance(store, SignedCookiePinStore):
        store.fallback = SignedCookiePinStore()
    return store


def _options(backend: type[PinStore]) -> str:
    return ", ".join(inspect.signature(backend).parameters) or "no OPTIONS"
