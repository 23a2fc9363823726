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
from hostile.site import OLD_SECRET_KEY, PIN_SECONDS, REDIS_PASSWORD, SECRET_KEY, SITES, STORES, redis, seen
from hostile.visits import Answer, Server, Visit
from hostile.watch import Watch
from multidb.backends import get_pin_store
from multidb.backends.keyed import KeyedPinStore
from multidb.middleware import pinning_cookie
from multidb.pins import Pin

# How much a visit takes at most, however long what it sends. It is what has been seen, and a count of the steps comes
# to the same. Most hashes are those of a write to a store that does not merge: two keys to look for a pin that is
# there and two to write, the signature of the session, that of the cookie that came and that of the cookie that goes.
# A read asks Redis for three keys and the marker at once. The queries are those of a session that the pin is put into.
LIMITS = {"HMACs": 7, "Redis round trips": 1, "Redis commands": 4, "queries": 2}

# The two keys that are looked for, and the cookie that came, are hashed with the old secret as well; sessions either
# have no signature here, or one but no key. Redis is asked for two more keys.
LIMITS_ROTATED = {**LIMITS, "HMACs": 9, "Redis commands": 6}

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
    """A site with the store called ``name``: three clients are pinned, two are not, and none of them visits again."""

    def __init__(self, name: str, site: str, random: Random) -> None:
        self.findings: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.visits = self.own = self.writes = 0
        self.watch = Watch()
        self._name = name
        # A copy of the setting is another store.
        self._settings = {"MULTIDB_PIN_STORE": dict(STORES[name]), **SITES[site]}
        self.is_rotated = "SECRET_KEY_FALLBACKS" in self._settings
        self._secrets = {SECRET_KEY, OLD_SECRET_KEY, REDIS_PASSWORD}
        self._words: set[str] = set()
        got_request_exception.connect(self._note_exception)
        before = {"SECRET_KEY": OLD_SECRET_KEY, "SECRET_KEY_FALLBACKS": []} if self.is_rotated else {}
        with override_settings(**self._settings):
            self._server = Server()
            _begin_anew()
            with override_settings(**before):
                self._meet_clients()
            self._inputs = Inputs(random, self._seeds())

    def run(self, visits: int) -> None:
        with override_settings(**self._settings), self.watch.watching():
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
            self._pinned += self._found_by(visit, answer)

    def _found_by(self, visit: Visit, answer: Answer) -> list[Visit]:
        """By what the store finds the client of ``visit``, who was pinned by ``answer``: each for itself."""
        found = [Visit("GET", (f"{pinning_cookie()}={answer.cookies[pinning_cookie()]}",))]
        if visit.cookies and self._name != "cookie":
            name = settings.SESSION_COOKIE_NAME
            found.append(visit._replace(cookies=(f"{name}={answer.cookies.get(name) or _value(visit)}",)))
        if visit.authorization and self._name in ("redis", "cache"):
            found.append(visit)
        return found

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
        session.save()
        return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"

    def _visit(self, visit: Visit) -> None:
        seen.clear()
        self.visits += 1
        try:
            with self.watch.one_visit():
                answer = self._server.serve(visit)
        except Exception as error:
            self._find(f"{type(error).__name__} left the handler", visit)
            return
        self._check_answer(visit, answer)
        for name, most in (LIMITS_ROTATED if self.is_rotated else LIMITS).items():
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
        # One in a signed cookie is another with the pin in it; one that is gone is empty.
        self._known_sessions |= {answer.cookies.get(settings.SESSION_COOKIE_NAME)} - {None, ""}

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
