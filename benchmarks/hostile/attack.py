"""Attack: hostile visits to a site with one pin store, and what must hold of each."""

import re
from collections import Counter
from importlib import import_module
from random import Random
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.signals import got_request_exception
from django.test import override_settings

from hostile.inputs import Inputs, Seeds
from hostile.site import PIN_SECONDS, REDIS_PASSWORD, SECRET_KEY, STORES, redis, seen
from hostile.visits import Answer, Server, Visit
from hostile.watch import Watch
from multidb.backends import get_pin_store
from multidb.backends.keyed import KeyedPinStore
from multidb.middleware import pinning_cookie
from multidb.pins import Pin

# How much a visit may take at most, however long what it sends. A hash is one for each key of the client, and these are
# derived when its pin is looked up and when it is written, and again for a client who has become known meanwhile.
LIMITS = {"HMACs": 16, "Redis round trips": 4, "Redis commands": 16, "queries": 8}

LONGEST_STORED = 300
LONGEST_KEY = 80
CLIENT_KEY = re.compile(r"multidb:(user:[A-Za-z0-9_-]{1,36}|(user:#|session:|authorization:)[0-9a-f]{32})")

# Shorter ones occur in any log by chance.
WORD = re.compile(r"[A-Za-z0-9_+/=-]{10,}")

# Not more records than these in a whole run: a client must not be able to fill the log.
LOG_RECORDS = 10

VISITS_BETWEEN_LOOKS = 2000

HEADER = "Token pinned-0123456789abcdef"


class Attack:
    """The site with the store called ``name``: three clients are pinned, two are not, and none of them visits again."""

    def __init__(self, name: str, random: Random) -> None:
        self.findings: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.own = self.writes = 0
        self.watch = Watch()
        self._name = name
        self._server = Server()
        self._secrets = {SECRET_KEY, REDIS_PASSWORD}
        self._words: set[str] = set()
        got_request_exception.connect(self._note_exception)
        with override_settings(MULTIDB_PIN_STORE=STORES[name]), self.watch.watching():
            _begin_anew()
            self._meet_clients()
            self._inputs = Inputs(random, self._seeds())

    def run(self, visits: int) -> None:
        with override_settings(MULTIDB_PIN_STORE=STORES[self._name]), self.watch.watching():
            for number in range(visits):
                self._visit(self._inputs.visit())
                if number % VISITS_BETWEEN_LOOKS == 0 or number == visits - 1:
                    self._look_around()
        got_request_exception.disconnect(self._note_exception)

    def _meet_clients(self) -> None:
        by_session, stranger = (Visit("GET", (self._session(user),)) for user in (1, 2))
        by_header = Visit("GET", authorization=HEADER)
        self._unpinned = [stranger, by_header._replace(authorization="Token unpinned-0123456789ab")]
        self._pinned: list[Visit] = []
        self._known_pins: set[str | None] = set()
        self._known_sessions: set[str | None] = {_value(by_session)}
        self._known_headers: set[str | None] = set()
        self._secrets |= {_value(by_session), _value(stranger), HEADER}
        for visit in (by_session, by_header, Visit("GET")):
            answer = self._server.serve(visit._replace(method="POST"))
            self._remember(answer)
            pin = answer.cookies.get(pinning_cookie())
            self._pinned.append(visit if pin is None else Visit("GET", (f"{pinning_cookie()}={pin}",)))

    def _seeds(self) -> Seeds:
        return Seeds(
            cookie=pinning_cookie(),
            session=settings.SESSION_COOKIE_NAME,
            pins=sorted(filter(None, self._known_pins)),
            session_ids=sorted(filter(None, self._known_sessions)),
            authorizations=[HEADER],
        )

    def _session(self, user: int) -> str:
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session["_auth_user_id"] = str(user)
        session.create()
        return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"

    def _visit(self, visit: Visit) -> None:
        seen.clear()
        try:
            with self.watch.one_visit():
                answer = self._server.serve(visit)
        except Exception as error:
            self._find(f"{type(error).__name__} left the handler", visit)
            return
        self._check_answer(visit, answer)
        for name, most in LIMITS.items():
            if self.watch.work[name] > most:
                self._find(f"{self.watch.work[name]} {name}", visit)
        self._check_log(visit)
        if any(len(pin) > 4096 for pin in answer.cookies.values()):
            self._find("a cookie longer than browsers keep", visit)
        self._remember(answer)

    def _check_answer(self, visit: Visit, answer: Answer) -> None:
        if answer.status != 200 or not seen:
            self._find(f"status {answer.status}", visit)
            return
        own = self._is_known()
        self.own += own
        if visit.method.upper() not in ("GET", "HEAD", "OPTIONS", "TRACE"):
            self.writes += 1
        elif answer.reason not in (("replica", "pinned") if own else ("replica",)):
            self._find(f"a read went elsewhere: {answer.reason}", visit)

    def _is_known(self) -> bool:
        """Is what Django made of the visit what a pinned client has: its cookie, session or header, to the letter?"""
        [request] = seen
        return (
            request.COOKIES.get(pinning_cookie()) in self._known_pins
            or request.COOKIES.get(settings.SESSION_COOKIE_NAME) in self._known_sessions
            or request.META.get("HTTP_AUTHORIZATION") in self._known_headers
        )

    def _remember(self, answer: Answer) -> None:
        """Who has just written is pinned."""
        if answer.reason == "method":
            self._known_headers |= {seen[0].META.get("HTTP_AUTHORIZATION")} - {None}
        if pinning_cookie() in answer.cookies:
            self._known_pins.add(answer.cookies[pinning_cookie()])

    def _check_log(self, visit: Visit) -> None:
        if self.watch.logged:
            log = "\n".join(self.watch.logged)
            words = {word for text in (*visit.cookies, visit.authorization or "") for word in WORD.findall(text)}
            names = {pinning_cookie(), settings.SESSION_COOKIE_NAME}
            if any(word in log for word in (words | self._secrets) - names):
                self._find("the log echoes it", visit)
        self._words |= set(WORD.findall(visit.authorization or "")[:3])

    def _look_around(self) -> None:
        """Are those pinned who were, and nobody else; is in Redis what may be; has the log kept still?"""
        for visit, expected in [
            *((each, "pinned") for each in self._pinned),
            *((each, "replica") for each in self._unpinned),
        ]:
            reason = self._server.serve(visit).reason
            if reason != expected:
                self._find(f"who should be {expected} is {reason}", visit)
        if self.watch.log_records > LOG_RECORDS:
            self._find(f"more than {LOG_RECORDS} log records", Visit(""))
        if self._name == "redis":
            self._check_redis(redis())

    def _check_redis(self, client: Any) -> None:
        stored = {key.decode("latin-1"): client.get(key) for key in client.scan_iter()}
        others = [key for key in stored if not CLIENT_KEY.fullmatch(key)]
        if len(others) > 1 or any(len(key) > LONGEST_KEY for key in stored):
            self._find(f"a key in Redis: {max(others, key=len, default='')[:99]!r}", Visit(""))
        for key, text in stored.items():
            if key in others:
                continue
            if not 0 < client.pttl(key) <= PIN_SECONDS * 1000 + 1:
                self._find("a key in Redis outlives the seconds", Visit(""))
            pin = Pin.decode(text)
            if pin is None or pin.holds.keys() != {"default"} or len(text) > LONGEST_STORED:
                self._find(f"in Redis is {text[:99]!r}", Visit(""))
        everything = "\n".join([*stored, *(text.decode("latin-1") for text in stored.values())])
        if any(word in everything for word in self._secrets | self._words):
            self._find("Redis holds what a client sent, or a secret", Visit(""))

    def _note_exception(self, sender: Any, **_: Any) -> None:
        self._find("an exception", Visit(""))

    def _find(self, what: str, visit: Visit) -> None:
        self.findings[what] += 1
        self.examples.setdefault(what, ascii(visit)[:1000])


def _value(visit: Visit) -> str:
    return visit.cookies[0].partition("=")[2]


def _begin_anew() -> None:
    """Empty the stores that have keys, of which the one in use is new."""
    redis().flushall()
    caches["default"].clear()
    store = get_pin_store()
    if isinstance(store, KeyedPinStore):
        store.declare_new()
