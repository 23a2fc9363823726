"""SettingError: a setting has a value that cannot be used."""

import re

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured


class SettingError(ImproperlyConfigured):
    """A setting has a value that cannot be used.

    What of it looks like a password is left out. ``id`` is the id of the system check that reports the same, ``hint``
    says what to do about it.
    """

    def __init__(self, id: str, problem: str, hint: str) -> None:
        problem = _without_passwords(problem)
        super().__init__(f"{problem} {hint}")
        self.id = id
        self.problem = problem
        self.hint = hint

    def as_check(self) -> CheckMessage:
        """The same for ``manage.py check``."""
        return Error(self.problem, hint=self.hint, id=self.id)


# What stands before the host of an address, and what is under a name such as PASSWORD.
_PASSWORDS = re.compile(r"""(?<=://)[^\s'"]*(?=@)|(?<=PASSWORD': )'[^']*'""")


def _without_passwords(text: str) -> str:
    return _PASSWORDS.sub("***", text)
