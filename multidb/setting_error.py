"""SettingError: a setting has a value that cannot be used."""

from collections.abc import Callable
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from multidb.passwords import without_passwords


class SettingError(ImproperlyConfigured):
    """A setting has a value that cannot be used.

    What of it looks like a password is left out. ``id`` is the id of the system check that reports the same, ``hint``
    says what to do about it.
    """

    def __init__(self, id: str, problem: str, hint: str) -> None:
        problem = without_passwords(problem)
        super().__init__(f"{problem} {hint}")
        self.id = id
        self.problem = problem
        self.hint = hint

    def as_check(self) -> CheckMessage:
        """The same for ``manage.py check``."""
        return Error(self.problem, hint=self.hint, id=self.id)


UNIMPORTABLE = (ImportError, TypeError, ValueError)
"""What ``import_string`` raises; the last two for a path that begins with a dot."""


def if_possible(read: Callable[[], Any]) -> Any:
    """What ``read`` returns, or ``None`` where the setting that it reads is impossible."""
    try:
        return read()
    except SettingError:
        return None
