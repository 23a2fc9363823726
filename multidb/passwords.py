"""Passwords: what is left out of what is shown."""

import re

HIDDEN = "***"

# What stands before the host of an address, and what is under a name such as PASSWORD, in Python's words or libpq's.
PASSWORDS = re.compile(
    r"""(?<=://)[^\s'"]*(?=@)|(?<=password': )'[^']*'|(?<=password=)(?:'[^']*'|[^\s'"&]*)""", re.IGNORECASE
)


def without_passwords(text: str) -> str:
    """``text`` without what looks like a password in it."""
    return PASSWORDS.sub(HIDDEN, text)
