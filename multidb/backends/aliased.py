"""AliasedPinStore: pins on the server of a cache in ``CACHES``."""

from abc import abstractmethod
from collections.abc import Iterable

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured

from multidb.backends.keyed import DEFAULT_KEYS, DEFAULT_PREFIX, KeyedPinStore
from multidb.log import without_quotations
from multidb.setting_error import SettingError


class AliasedPinStore(KeyedPinStore):
    """A keyed store on the server of the cache ``alias`` in ``CACHES``, which a backend asks in its own way."""

    def __init__(
        self,
        *,
        alias: str = "default",
        keys: Iterable[str] = DEFAULT_KEYS,
        prefix: str = DEFAULT_PREFIX,
    ) -> None:
        super().__init__(keys=keys, prefix=prefix)
        if not isinstance(alias, str):
            raise ImproperlyConfigured(f"The option alias is {alias!r}. Name a cache in CACHES.")
        self._alias = alias

    def check(self) -> list[CheckMessage]:
        try:
            messages = self._check_cache()
        except SettingError as error:
            messages = [error.as_check()]
        except Exception as error:
            messages = [self._cache_error(error).as_check()]
        return [*super().check(), *messages]

    @abstractmethod
    def _check_cache(self) -> list[CheckMessage]:
        """What there is to say about the cache. May raise anything, which is then said of it."""

    def _cache_error(self, error: Exception) -> SettingError:
        what = str(error) if isinstance(error, ImproperlyConfigured) else without_quotations(str(error))
        return SettingError(
            "multidb.E022",
            f"MULTIDB_PIN_STORE names the cache {self._alias!r}, which cannot be used: {type(error).__name__}: {what}",
            f"Mend {self._alias!r} in CACHES."
            if self._alias in settings.CACHES
            else f"Allowed: {', '.join(map(repr, settings.CACHES))}.",
        )
