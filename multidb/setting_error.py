"""SettingError: a setting has a value that cannot be used."""

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured


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
