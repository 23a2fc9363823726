"""Visit: one request of a client, led through its steps from outside."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import OperationalError, close_old_connections, connections
from django.http import HttpResponse
from django.test import RequestFactory

from multidb.pinning import mark_as_write
from tests.model import rows
from tests.model.choices import SECONDS
from tests.model.databases import POSITION, query
from tests.model.processes import Process
from tests.model.project import MODELS, Job, close_block, database_of, open_block
from tests.model.workers import Paused
from tests.model.world import Client, World


class ViewFailed(Exception):
    """The view raises it when it is told to."""


class Reading(NamedTuple):
    """One read: where it was made, and how far that database was."""

    alias: str
    position: int


class Visit:
    """``told``: how many promises had been told when it began. ``names``: by what its client is known so far.
    ``readings``: what its response is made of, by primary. ``wrote``: the primaries that it wrote to, also where that
    was taken back. ``response``: what the client gets, once the request is over; ``None`` if it has failed.
    """

    def __init__(
        self,
        world: World,
        process: Process,
        client: Client,
        method: str,
        told: int,
        has_outer_transaction: bool = False,
    ) -> None:
        self.world, self.process, self.client, self.method, self.told = world, process, client, method, told
        self.began = world.moment()
        self.name = f"visit-{self.began}"
        self.names = {name for name in (client.jar_name, client.session, client.header) if name}
        if client.session:
            self.names.add(client.user_name)
        self.readings: dict[str, list[Reading]] = defaultdict(list)
        self.wrote: set[str] = set()
        self.touched_session = self.is_marked = False
        self.is_open, self.is_ending = True, False
        self.response: HttpResponse | None = None
        self.pinned_at, self.responded_at = self.began, world.clock()
        self._job = Job(process.free_worker(), has_outer_transaction)
        self._request: Any = RequestFactory().generic(method, "/", headers=client.headers(world.clock()))
        self._request.job = self._job
        self._job.worker.is_free = False
        self._do(self._begin)

    @property
    def is_over(self) -> bool:
        return not (self.is_open or self.is_ending)

    def in_block(self, primary: str) -> bool:
        """Is a transaction open that the view has asked for?"""
        return primary in self._job.blocks

    def read(self, primary: str) -> Reading | None:
        """``None`` if a replica has died under the read: the view has begun again, or the request has failed."""

        def read() -> Reading:
            alias = database_of(primary)
            return Reading(alias, query(connections[alias], POSITION))

        answer = self._do(read)
        return answer if isinstance(answer, Reading) else None

    def write(self, primary: str) -> None:
        self.wrote.add(primary)
        self._do(lambda: rows.write(MODELS[primary], self.name, ""))

    def open_block(self, primary: str) -> None:
        self._do(lambda: open_block(self._job, primary))

    def close_block(self, primary: str, is_kept: bool) -> None:
        self._do(lambda: close_block(self._job, primary, is_kept))

    def authenticate(self) -> None:
        """The view finds out whose the ``Authorization`` header is."""
        self._request.user = User(pk=int(str(self.client.user)))
        self.names.add(self.client.user_name)

    def touch_session(self) -> None:
        self.touched_session = True
        self._do(lambda: self._request.session.update({"seen": self.name}))

    def fail(self) -> None:
        """The view raises an error."""

        def fail() -> None:
            raise ViewFailed

        self._leave(fail)

    def respond(self, is_marked: bool = False) -> None:
        """The view returns, after it has committed the transactions that it left open."""
        for primary in list(self._job.blocks):
            self.close_block(primary, is_kept=True)
        self.is_marked = is_marked
        response = HttpResponse()
        self._leave(lambda: mark_as_write(response) if is_marked else response)

    def end(self) -> None:
        """The transaction around the request, which was open until now, is committed."""
        self._do(lambda: None)

    def arrive(self) -> None:
        """The client gets the response, and keeps its cookies."""
        assert self.response is not None
        now = self.world.clock()
        for name, morsel in self.response.cookies.items():
            self.client.jar[name] = morsel.value, now + float(morsel["max-age"] or SECONDS)

    def _begin(self) -> HttpResponse:
        close_old_connections()
        response: HttpResponse = self.world.handler.get_response(self._request)
        return response

    def _leave(self, step: Callable[[], Any]) -> None:
        # The pin is made before the transaction around the request ends.
        self.pinned_at, self.responded_at = self.world.moment(), self.world.clock()
        self._do(step)

    def _do(self, step: Callable[[], Any]) -> Any:
        answer = self._job.worker.do(step)
        if answer is Paused.IN_THE_VIEW:
            self.readings.clear()  # It has begun again: what it read before is in no response.
        elif answer is Paused.AFTER_THE_VIEW:
            self.is_open, self.is_ending = False, True
        elif isinstance(answer, HttpResponse):
            self.is_open = self.is_ending = False
            self._job.worker.is_free = True
            self._take(answer)
        return answer

    def _take(self, response: HttpResponse) -> None:
        if response.status_code == 200:
            self.response = response
            return
        expected = isinstance(self._job.error, ViewFailed | OperationalError)
        assert expected, f"a request has failed that should not: {self._job.error!r}"
