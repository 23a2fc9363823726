"""Inputs: valid cookies, session ids and headers, mutated, and garbage of the shapes that parsers meet."""

import base64
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from django.core import signing

from hostile.visits import Visit

READS = ["GET", "HEAD", "OPTIONS", "TRACE", "get", "Head"]
WRITES = ["POST", "PUT", "PATCH", "DELETE", "post", "", "QUERY", "PROPFIND", "x" * 300, "GET ", "G\x00T", "\xff", "%s"]

GARBAGE = [
    *["", "y", "null", "{}", "[]", "0", "-1", "true", "NaN", '{"default":[NaN]}', '{"default":[Infinity]}'],
    *['{"default":[1e999]}', '{"default":["1"]}', '{"default":[true]}', '{"default":[[1]]}', '{"default":{}}'],
    *['{"default":[' + "9" * 2000 + "]}", "[" * 2000, '{"a":' * 400, '{"default":[-' + "9" * 30 + "]}"],
    *['{"nobody":[9999999999999]}', '{"default":[9999999999999]}', '{"default":[1,{"lsn":"x"}]}', '{"\\ud800":[1]}'],
    *["\x00" * 8, "a\x00b", "\r\nSet-Cookie: x=y", "%00%0a%s%n", "../../etc/passwd", "' OR 1=1 --", "${jndi:x}", "*"],
    *["EVAL 'return 1' 0", "\r\nFLUSHALL\r\n", "multidb:user:1", "multidb:session:x", "user", "1", "session:x"],
    *[
        "\xff\xfe",
        "\xc3\x28",
        "\xed\xa0\x80",
        "\xf0\x9f\x98\x80" * 8,
        "Ã©",
        "x" * 41,
        "x" * 4096,
        "x" * 5000,
        '"',
        '"\\"',
    ],
    *[":", "::", ":::", "a:b:c", "." * 9, "=" * 9, ".eJw", "Basic Og==", "Bearer ", "Bearer null", "Token", "," * 50],
]


class Seeds(NamedTuple):
    """The valid values that inputs are made from. ``cookie`` and ``session`` are the names of the two cookies."""

    cookie: str
    session: str
    pins: Sequence[str]
    session_ids: Sequence[str]
    authorizations: Sequence[str]


class Inputs:
    """Hostile visits, always the same for the same seed of ``random``."""

    def __init__(self, random: Random, seeds: Seeds) -> None:
        self._random = random
        self._seeds = seeds
        self._signed = [*_signed_elsewhere(seeds), *_signed_garbage(seeds.cookie)]

    def visit(self) -> Visit:
        random = self._random
        method = random.choice(WRITES if random.random() < 0.15 else READS)
        cookies = [self._cookie() for _ in range(random.choice([0, 1, 1, 1, 2, 3]))]
        if random.random() < 0.01:
            cookies += [f"c{number}={number}" for number in range(random.choice([50, 500]))]
        random.shuffle(cookies)
        authorization = self._authorization() if random.random() < 0.5 else None
        return Visit(method, tuple(cookies), authorization, is_async=random.random() < 0.1)

    def _cookie(self) -> str:
        random = self._random
        pins = [self._mutated(self._seeds.pins), random.choice(self._signed), self._mutated(self._signed)]
        name, values = random.choice(
            [
                (self._seeds.cookie, [*pins, *pins, self._garbage()]),
                (self._seeds.session, [self._mutated(self._seeds.session_ids), self._garbage()]),
                (self._garbage(), [self._garbage()]),
            ]
        )
        return f"{name}={random.choice([str, str, _quoted, _octal])(random.choice(values))}"

    def _authorization(self) -> str:
        random = self._random
        if random.random() < 0.002:
            return random.choice(["x", "\xff", "Basic "]) * random.choice([8_000, 64_000, 300_000])
        if random.random() < 0.02:
            return "\udcff" * random.randint(1, 9)
        return self._mutated(self._seeds.authorizations) if random.random() < 0.6 else self._garbage()

    def _garbage(self) -> str:
        random = self._random
        if random.random() < 0.5:
            return random.choice(GARBAGE)
        return "".join(map(chr, random.choices(range(256), k=random.choice([1, 5, 8, 32, 130]))))

    def _mutated(self, seeds: Sequence[str]) -> str:
        text = self._random.choice(seeds)
        for _ in range(self._random.choice([0, 1, 1, 1, 2, 3])):
            text = self._random.choice(MUTATIONS)(self._random, text)
        return text


def _flip(random: Random, text: str) -> str:
    place = random.randrange(len(text) + 1)
    return (
        text[:place]
        + "".join(chr(ord(each) ^ 1 << random.randrange(8) & 255) for each in text[place : place + 1])
        + text[place + 1 :]
    )


def _cut(random: Random, text: str) -> str:
    return text[: random.randrange(len(text) + 1)]


def _insert(random: Random, text: str) -> str:
    place = random.randrange(len(text) + 1)
    return text[:place] + random.choice(["\x00", ":", ".", "=", " ", "A", "-", *GARBAGE]) + text[place:]


def _shuffle(random: Random, text: str) -> str:
    parts = text.split(":")
    random.shuffle(parts)
    return ":".join(parts)


def _double(random: Random, text: str) -> str:
    return text * random.randint(2, 4)


def _case(random: Random, text: str) -> str:
    changed = random.choice([text.swapcase(), text.upper(), text.lower()])
    return changed.encode("latin-1", "replace").decode("latin-1")


def _later(random: Random, text: str) -> str:
    """The same pin as if it had been signed at another time."""
    payload, *_, signature = text.split(":")
    at = int(time.time()) + random.choice([-(10**6), 0, 10**6, 10**12])
    return f"{payload}:{signing.b62_encode(at)}:{signature}"


def _encoded_again(random: Random, text: str) -> str:
    """The same payload, written otherwise."""
    payload, *rest = text.split(":")
    decoded = base64.urlsafe_b64decode(payload.encode("latin-1") + b"=" * (-len(payload) % 4))
    return ":".join(
        [random.choice([base64.b64encode, base64.b32encode, base64.urlsafe_b64encode])(decoded).decode(), *rest]
    )


def _survives(mutation: Callable[[Random, str], str]) -> Callable[[Random, str], str]:
    """``mutation``, or the text as it was where that is not of the form that it takes."""

    def mutated(random: Random, text: str) -> str:
        try:
            return mutation(random, text)
        except ValueError:
            return text

    return mutated


MUTATIONS = [_flip, _flip, _cut, _insert, _shuffle, _double, _case, _survives(_later), _survives(_encoded_again)]


def _quoted(text: str) -> str:
    return f'"{text}"'


def _octal(text: str) -> str:
    """As ``http.cookies`` reads it: each character an octal escape in quotes."""
    return '"' + "".join(f"\\{ord(each) & 255:03o}" for each in text) + '"'


def _signed_elsewhere(seeds: Seeds) -> list[str]:
    """What is signed like a pin, but with another key, for another purpose or at another time."""
    pin = f'{{"default":[{int(time.time() + 60) * 1000}]}}'
    salt = _salt(seeds.cookie)
    others = ["", "django.core.signing", "django.contrib.messages", _salt("other"), f"{salt}signer", salt[:-1]]
    return [
        *(signing.dumps(pin, salt=other, serializer=_Plain) for other in others),
        *(signing.dumps({"default": [1]}, salt=other) for other in others),
        signing.dumps(pin, key="another secret key", salt=salt, serializer=_Plain),
        signing.get_cookie_signer(salt=seeds.cookie).sign(pin),
        signing.Signer(salt=salt).sign(pin),
        signing.Signer(salt=salt).sign(f"{signing.b64_encode(pin.encode()).decode()}:{signing.b62_encode(10**8)}"),
    ]


def _signed_garbage(cookie: str) -> list[str]:
    """What is no pin, signed as one: only who has the ``SECRET_KEY`` could."""
    salt = _salt(cookie)
    texts = [text for text in GARBAGE if len(text) < 3000]
    signed = [signing.dumps(text, salt=salt, serializer=_Plain) for text in texts]
    bombs = [signing.dumps(text * 10**6, salt=salt, serializer=_Plain, compress=True) for text in ("[", "0", " ")]
    times = [signing.Signer(salt=salt).sign(f"e30:{at}") for at in ("", "-", "!", "Z" * 900)]
    return [*signed, *bombs, *times]


def _salt(cookie: str) -> str:
    return f"multidb.backends.cookie:{cookie}"


class _Plain:
    """A serializer for what is text already."""

    def dumps(self, text: str) -> bytes:
        return text.encode()
