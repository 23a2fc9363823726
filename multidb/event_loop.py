"""Is this an event loop, which nothing may keep waiting?"""

import asyncio
import os


def is_running() -> bool:
    """Is this called by what an event loop runs, and not in a thread?"""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def may_use_databases() -> bool:
    """Is Django told to use databases on an event loop all the same? Each task has its own connections then.

    https://docs.djangoproject.com/en/stable/topics/async/#envvar-DJANGO_ALLOW_ASYNC_UNSAFE
    """
    return bool(os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"))
