"""The fuzzer finds nothing in the library, and finds each bug that is put in."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"

RUN = f"""
import runpy, sys
sys.path[:0] = [{str(BENCHMARKS)!r}, {str(ROOT)!r}]
from django.conf import settings
from multidb import positions
from multidb.backends import cookie, keyed, redis_conversations, session
from multidb.log import logger
from multidb.pins import Pin

{{bug}}

sys.argv = ["fuzz.py", *{{arguments}}]
runpy.run_path({str(BENCHMARKS / "fuzz.py")!r}, run_name="__main__")
"""


def fuzz(*arguments: str, bug: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", RUN.format(bug=bug, arguments=arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_few_thousand_hostile_inputs_find_nothing() -> None:
    done = fuzz("--inputs", "4000", "--seed", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:6]]
    assert [(name, inputs, findings) for name, inputs, *_, findings in counts] == [
        (name, "1000", "0") for name in ("cookie", "session", "redis", "cache")
    ]
    # The inputs that matter were among them: those of pinned clients, and writes.
    assert all(int(own) > 50 and int(writes) > 50 for _, _, own, writes, *_ in counts)


SIGNATURE_NOT_CHECKED = """
import base64
def read(store, request):
    payload = request.COOKIES.get("multidb_pin_writes", "").split(":")[0].encode("latin-1", "replace")
    try:
        yield base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)).decode("latin-1")
    except ValueError:
        return
cookie.SignedCookiePinStore._read = read
"""

SALT_NOT_TOLD_APART = "cookie._salt = lambda name: 'multidb.backends.cookie:other'"

ERROR_NOT_CAUGHT = """
def read(store, request):
    value, salt = request.COOKIES.get("multidb_pin_writes"), cookie._salt("multidb_pin_writes")
    if value:
        yield cookie.signing.loads(value, salt=salt, serializer=cookie._Text)
cookie.SignedCookiePinStore._read = read
"""

HEADER_CUT_SHORT = "keyed.KEYS['authorization'] = lambda request: request.META.get('HTTP_AUTHORIZATION', '')[:8]"

SESSION_ID_BELIEVED = """
keyed.KEYS["user"] = lambda request: "2" if len(request.COOKIES.get("sessionid", "")) > 8 else None
"""

KEY_NOT_HASHED = "keyed._hash = lambda name, value, secret: value.encode('ascii', 'replace').decode()[:60]"

KEY_THAT_OUTLIVES = """
redis_conversations.MERGE = redis_conversations.MERGE.replace("'PX', milliseconds", "'PX', milliseconds * 2")
"""

VALUE_IN_THE_LOG = """
read = cookie.SignedCookiePinStore._read
def logged(store, request):
    logger.warning("A cookie: %s", request.COOKIES.get("multidb_pin_writes"))
    return read(store, request)
cookie.SignedCookiePinStore._read = logged
"""

WORK_NOT_BOUNDED = """
hash_ = keyed._hash
keyed._hash = lambda name, value, secret: [hash_(name, value, secret) for _ in range(1 + len(value) // 20)][0]
"""


OLD_KEY_NOT_TAKEN = """
loads = cookie.signing.loads
def loads_by_the_new(value, **how):
    return loads(value, **how, fallback_keys=[])
cookie.signing = type("signing", (), {**vars(cookie.signing), "loads": staticmethod(loads_by_the_new)})
"""

OLD_KEY_NOT_LOOKED_UP = """
keys = keyed.KeyedPinStore._keys
keyed.KeyedPinStore._keys = lambda store, request, secret: keys(store, request, settings.SECRET_KEY)
"""

REPLICA_TAKEN_FOR_REPLAYED = "positions.is_replayed = lambda position, reached: True"

PIN_NOT_PUT_INTO_THE_SESSION = "session.SessionPinStore._with_pin = lambda store, content, text: None"


@pytest.mark.parametrize(
    ("store", "bug", "finding"),
    [
        ("cookie", OLD_KEY_NOT_TAKEN, "rotated key: who should be pinned is replica"),
        ("redis", OLD_KEY_NOT_LOOKED_UP, "rotated key: who should be pinned is replica"),
        ("cookie", REPLICA_TAKEN_FOR_REPLAYED, "replayed: who should be pinned is replica"),
        (
            "session",
            PIN_NOT_PUT_INTO_THE_SESSION,
            "who should be pinned",
        ),
        ("cookie", SIGNATURE_NOT_CHECKED, "a read went elsewhere: pinned"),
        ("cookie", SALT_NOT_TOLD_APART, "a read went elsewhere: pinned"),
        ("cookie", ERROR_NOT_CAUGHT, "a read went elsewhere: store down"),
        ("cookie", VALUE_IN_THE_LOG, "the log echoes it"),
        ("redis", HEADER_CUT_SHORT, "a read went elsewhere: pinned"),
        ("redis", SESSION_ID_BELIEVED, "who should be replica is pinned"),
        ("redis", KEY_NOT_HASHED, "Redis holds what a client sent, or a secret"),
        ("redis", KEY_THAT_OUTLIVES, "a key in Redis outlives the seconds"),
        ("redis", WORK_NOT_BOUNDED, " HMACs"),
        ("cache", HEADER_CUT_SHORT, "a read went elsewhere: pinned"),
    ],
    ids=lambda value: None if "=" in value else value,
)
def test_a_bug_that_is_put_in_is_found(store: str, bug: str, finding: str) -> None:
    done = fuzz("--inputs", "2000", "--store", store, bug=bug)
    assert done.returncode == 1, done.stderr
    assert finding in done.stdout
