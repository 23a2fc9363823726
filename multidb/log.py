"""What the library says in the log ``multidb``."""

import logging
import re
import traceback

logger = logging.getLogger("multidb")


def say_once(text: str) -> None:
    """Log ``text`` as a warning, the first time that this process has it to say."""
    if text not in _said:
        _said.add(text)
        logger.warning(text)


def complain(text: str, error: Exception) -> None:
    """Log as an error ``text`` and where ``error`` was raised, but not its message: it may hold what a client sent."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s %s:\n%s", text, type(error).__name__, frames.rstrip())


def without_quotations(text: str) -> str:
    """``text`` without what an error quotes of the command or address that it is about: a password may be in it."""
    return _QUOTATIONS.sub("'...'", text)


def forget() -> None:
    """Forget what was said, as at the start of the process."""
    _said.clear()


_said: set[str] = set()

# To the last mark: what is quoted may have some in it.
_QUOTATIONS = re.compile(r"""(['"`]).*\1""", re.DOTALL)
