"""What the library says in the log ``multidb``."""

import logging

logger = logging.getLogger("multidb")


def say_once(text: str) -> None:
    """Log ``text`` as a warning, the first time that this process has it to say."""
    if text not in _said:
        _said.add(text)
        logger.warning(text)


def forget() -> None:
    """Forget what was said, as at the start of the process."""
    _said.clear()


_said: set[str] = set()
