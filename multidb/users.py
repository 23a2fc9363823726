"""Users: who the client of a request is, as far as that is known without asking anybody."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

# Its ``request.auser`` would tell, with a query, what the session tells without.
OF_DJANGO = "django.contrib.auth.middleware"


def user_so_far(request: HttpRequest) -> Any:
    """The user object as far as it is known, without loading a lazy one; or the ``auser`` of a project's own, which can
    be replaced too.
    """
    user = request.__dict__.get("user")
    known = user._wrapped if isinstance(user, LazyObject) else user
    if known is None or known is empty:
        return own_auser(request) or known
    return known


def own_auser(request: HttpRequest) -> Any:
    """``request.auser`` if that is not Django's, or ``None``."""
    auser = request.__dict__.get("auser")
    if auser is None or getattr(getattr(auser, "func", None), "__module__", None) == OF_DJANGO:
        return None
    return auser
