"""UnsentResponse: what stands for the response to a client that has gone."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase


class UnsentResponse(HttpResponse):
    """Stands for the response to a client that has gone: nothing that is set on it arrives.

    Where the view had returned ``response`` before, what that says of a write stands.
    """

    def __init__(self, response: HttpResponseBase | None = None) -> None:
        super().__init__()
        self._db_write: bool | None = getattr(response, "_db_write", None)
