"""The example project, run as a user runs it: setup_board, runserver, and requests over HTTP."""

import json
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest
from board import sqlite
from board.sqlite import SQLiteReplication

from tests.blocks import block
from tests.boards import PROJECT, READY_SECONDS, run, served, until


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where the board has been set up."""
    directory = tmp_path_factory.mktemp("board")
    result = run(directory, "setup_board")
    assert result.returncode == 0, result.stderr
    return directory


@pytest.fixture(scope="module")
def board(directory):
    """The board, served."""
    with served(directory) as board:
        yield board


@pytest.mark.parametrize("arguments", [["demo", "--mysql"], ["demo", "--postgres", "now"], ["demo", ""], ["serve"], []])
def test_unknown_arguments_are_answered_with_the_usage(arguments):
    """run.sh does nothing but say how to use it, if that is not how it was used."""
    result = subprocess.run(
        ["bash", str(PROJECT.parent / "run.sh"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_SECONDS,
    )
    assert result.returncode == 1
    assert "usage: ./run.sh demo [--postgres] | ./run.sh test" in result.stderr


def test_setup_can_be_run_again(tmp_path):
    """A second setup_board keeps one set of users and posts."""
    directory = tmp_path
    for _ in range(2):
        assert run(directory, "setup_board").returncode == 0
    with closing(sqlite3.connect(directory / "primary.sqlite3")) as primary:
        users = primary.execute("SELECT username FROM auth_user ORDER BY username").fetchall()
        posts = primary.execute("SELECT count(*) FROM board_post").fetchone()
    assert users == [("ada",), ("grace",), ("linus",)]
    assert posts == (3,)


def test_a_server_without_setup_says_what_to_do(tmp_path, port):
    """Who forgets setup_board is told so, in one line."""
    result = run(tmp_path, "runserver", f"127.0.0.1:{port}", "--noreload")
    assert result.returncode == 1
    assert "setup_board" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_checks_are_silent(directory):
    """The board is configured as multidb and Django want it."""
    result = run(directory, "check", "--fail-level", "WARNING")
    assert result.returncode == 0, result.stderr


def test_a_store_that_there_is_not_is_named_with_the_variable_to_mend(directory):
    """Whose name is no option's."""
    result = run(directory, "check", BOARD_STORE="rediss")
    assert "BOARD_STORE: There is no pin store 'rediss'. Choose one of off, cookie" in result.stderr


def test_the_curl_lines_of_the_docs_work_as_printed(board):
    """The author's second request is pinned and has the post; another user's is served by a replica without it."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not on PATH")
    lines = block("docs/board.md", "curl").splitlines()
    board.settle("redis", lag=10)
    until(lambda: board.api(token="demo-token-grace").json["served_by"]["reason"] == "replica")
    answers = [json.loads(_shell(line.replace("http://127.0.0.1:8000", board.address))) for line in lines]
    assert answers[0]["written_to"] == "default"
    assert answers[1]["served_by"] == {"database": "default", "reason": "pinned"}
    assert answers[1]["posts"][0] == answers[0]["post"]
    assert answers[2]["served_by"]["reason"] == "replica"
    assert answers[0]["post"] not in answers[2]["posts"]


def _shell(line):
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=True, timeout=READY_SECONDS
    ).stdout


def test_with_off_a_visitor_misses_the_post_until_the_lag_has_passed(board):
    """Off: the page says that the post is missing and why; after the lag it is there."""
    board.settle("off", lag=10)
    visitor = board.visitor()

    missed = visitor.post("/posts", text="Posted with the store off")
    assert "You do not see your own write." in missed.text
    assert "The pin store is off, so nothing pins you" in missed.text
    assert "Posted with the store off" not in missed.text
    assert "reason: replica" in missed.text

    board.settle("off", lag=0)
    seen = visitor.get()
    assert "Posted with the store off" in seen.text
    assert "reason: replica" in seen.text


def test_a_post_that_nobody_has_made_is_not_called_late(board):
    """Though replicas lag, the page says that the primary does not have it either."""
    board.settle("off", lag=10)
    visitor = board.visitor()
    assert "You do not see your own write." in visitor.post("/posts", text="So that the replicas lack a post").text
    text = visitor.get("/?posted=99999999").text
    assert "Post #99999999 is not among these." in text
    assert "No such post was found on the primary." in text


def test_a_post_that_is_older_than_those_on_the_page_is_not_called_late(board):
    """Though replicas lag: they have it, as the primary has."""
    board.settle("redis", lag=0)
    number = board.api("POST", body=b'{"text": "The oldest"}').json["post"]["id"]
    for _ in range(30):
        board.api("POST", body=b'{"text": "A later one"}')
    board.settle("off", lag=10)
    board.api("POST", body=b'{"text": "One that the replicas lack"}')
    text = board.visitor().get(f"/?posted={number}").text
    assert f"Post #{number} is not among these." in text
    assert "It is older than they are." in text


def test_a_primary_that_does_not_answer_is_not_said_to_lack_the_post(tmp_path):
    """A replica answers the page, and nobody knows what the primary has."""
    assert run(tmp_path, "setup_board").returncode == 0
    with served(tmp_path) as board:
        primary = tmp_path / "primary.sqlite3"
        primary.rename(tmp_path / "away.sqlite3")
        primary.mkdir()
        text = board.visitor().get("/?posted=99999999").text
    assert "Post #99999999 is not among these." in text
    assert "The primary did not answer when it was asked for it." in text


@pytest.mark.parametrize("store", ["cookie", "session", "redis", "cache"])
def test_with_a_store_a_visitor_sees_the_post(board, store):
    """Every other store: a signed-in visitor sees the post at once, read from the primary as pinned."""
    board.settle(store, lag=10)
    visitor = board.visitor()
    visitor.post("/sign-in", username="grace")
    before = time.monotonic()
    page = visitor.post("/posts", text=f"Posted with {store}")
    assert "You see your own post" in page.text
    assert f"Posted with {store}" in page.text
    assert "reason: pinned" in page.text
    seconds = visitor.get("/status").json["pin"]["seconds"]
    assert 15 - (time.monotonic() - before) <= seconds <= 15


def test_another_visitor_is_not_pinned(board):
    """A pin is on who wrote: others read from a replica, without the post."""
    board.settle("redis", lag=10)
    writer, reader = board.visitor(), board.visitor()
    writer.post("/sign-in", username="ada")
    reader.get()
    writer.post("/posts", text="Not replicated yet")
    page = reader.get()
    assert "reason: replica" in page.text
    assert "Not replicated yet" not in page.text


def test_a_pin_in_redis_follows_the_user(board):
    """Redis: two browsers of one user; what one posts, the other sees."""
    board.settle("redis", lag=10)
    phone, laptop = board.visitor(), board.visitor()
    for device in (phone, laptop):
        device.post("/sign-in", username="linus")
    phone.post("/posts", text="Posted from the phone")
    page = laptop.get()
    assert "Posted from the phone" in page.text
    assert "reason: pinned" in page.text


def test_a_visitor_without_a_key_is_pinned_by_the_cookie(board):
    """Redis has no key for a visitor without a session: the signed cookie carries the pin."""
    board.settle("redis", lag=10)
    visitor = board.visitor()
    page = visitor.post("/posts", text="Posted by nobody in particular")
    assert "reason: pinned" in page.text
    assert "multidb_pin_writes" in visitor.cookies()
    assert visitor.get("/status").json["pin"]["in_cookie"] is True


def test_switches_pin_nobody(board):
    """Switching the store or a lag, or breaking a replica, is a POST that does not write, so it pins nobody."""
    board.settle("cookie", lag=10)
    visitor = board.visitor()
    visitor.post("/break", replica="replica-1")
    visitor.post("/mend", replica="replica-1")
    visitor.post("/store", store="cookie")
    visitor.post("/lag", replica="replica-1", lag=10)
    assert "multidb_pin_writes" not in visitor.cookies()
    assert "reason: replica" in visitor.get().text


def test_a_broken_replica_is_left_out_until_it_is_mended(board):
    """The other replica answers, then the primary; a mended one answers again, with what was written meanwhile."""
    board.settle("off", lag=0)
    visitor = board.visitor()
    visitor.post("/break", replica="replica-1")
    for _ in range(3):
        assert "read from <strong>replica-2</strong>" in visitor.get().text
    status = visitor.get("/status").json
    assert [each["broken"] for each in status["replicas"]] == [True, False]
    assert (status["replicas"][0]["behind"], status["newest_posts"]["replica-1"]) == (None, None)

    visitor.post("/break", replica="replica-2")
    assert "reason: no replica" in visitor.get().text
    visitor.post("/posts", text="Posted without replicas")
    for alias in ("replica-1", "replica-2"):
        visitor.post("/mend", replica=alias)
    board.wait_until_replicated()
    for alias in ("replica-1", "replica-2"):
        until(lambda: f"read from <strong>{alias}</strong>" in visitor.get().text)  # noqa: B023 - called at once
        assert "Posted without replicas" in visitor.get().text


def test_a_replica_that_a_dead_process_has_broken_is_mended_at_the_start(tmp_path):
    """Whoever kills the demo while a replica is broken finds it whole the next time."""
    assert run(tmp_path, "setup_board").returncode == 0
    with served(tmp_path) as board:
        board.visitor().post("/break", replica="replica-1")
    with served(tmp_path) as board:
        until(lambda: "read from <strong>replica-1</strong>" in board.visitor().get().text)
        assert [each["broken"] for each in board.visitor().get("/status").json["replicas"]] == [False, False]


def test_the_page_lists_its_queries(board):
    """The page names database and reason of each of its queries: the session is read from the primary."""
    board.settle("off", lag=0)
    visitor = board.visitor()
    visitor.post("/sign-in", username="ada")
    text = visitor.get().text
    rows = [row for row in text.split("<tr>") if "SELECT" in row]
    assert len(rows) == 3
    assert [("default" in row, "forced" in row) for row in rows if "django_session" in row] == [(True, True)]
    assert all("replica-" in row for row in rows if "FROM board_post" in row or "FROM auth_user" in row)
    assert "Redis: in this process (fakeredis)" in text


def test_posts_are_shown_as_text(board):
    """Markup in a post is shown, not run, and the page loads nothing from elsewhere."""
    board.settle("cookie", lag=0)
    page = board.visitor().post("/posts", text="<script>alert(1)</script>")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script>alert" not in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "//" not in page.text.replace("<!doctype html>", "")


@pytest.mark.parametrize("text", [" ", "x" * 501])
def test_a_post_that_cannot_be_kept_is_refused(board, text):
    """A blank or too long post is refused with the page, which says why, and pins nobody."""
    board.settle("cookie", lag=0)
    visitor = board.visitor()
    page = visitor.post("/posts", text=text)
    assert page.status == 400
    assert 'role="alert"' in page.text
    assert "multidb_pin_writes" not in visitor.cookies()


@pytest.mark.parametrize("lag", ["10.5", "-1", "nan", "soon", ""])
def test_an_impossible_lag_is_refused(board, lag):
    """A lag that is no number from 0 to 10 is answered with what is allowed."""
    answer = board.visitor().post("/lag", replica="replica-1", lag=lag)
    assert answer.status == 400
    assert f"The lag is {lag!r}. Set a number of seconds from 0 to 10." in answer.text


@pytest.mark.parametrize(
    ("path", "fields", "allowed"),
    [
        ("/lag", {"replica": "default", "lag": "1"}, "replica-1, replica-2"),
        ("/break", {"replica": "default"}, "replica-1, replica-2"),
        ("/mend", {}, "replica-1, replica-2"),
        ("/store", {"store": "memcached"}, "off, cookie, session, redis, cache"),
        ("/sign-in", {"username": "mallory"}, "ada, grace, linus"),
    ],
)
def test_an_unknown_name_is_refused(board, path, fields, allowed):
    """A replica, store or user that is not there is answered with those that are."""
    answer = board.visitor().post(path, **fields)
    assert answer.status == 400
    assert f"Choose one of {allowed}." in answer.text


def test_the_api_with_redis_sees_its_own_post_without_cookies(board):
    """Redis: the token is the key, so that a client without cookies reads its own write."""
    board.settle("redis", lag=10)
    created = board.api("POST", body=b'{"text": "Posted by a program"}')
    assert created.status == 201
    assert created.json["written_to"] == "default"
    assert created.json["post"]["author"] == "ada"

    listed = board.api()
    assert listed.json["served_by"] == {"database": "default", "reason": "pinned"}
    assert listed.json["posts"][0] == created.json["post"]


def test_the_api_with_cookies_misses_its_own_post_without_them(board):
    """Cookie: a client that drops it reads from a replica, and misses its own write until the lag has passed."""
    board.settle("cookie", lag=10)
    created = board.api("POST", body=b"text=Posted+and+lost", content_type="application/x-www-form-urlencoded")
    assert created.status == 201

    listed = board.api()
    assert listed.json["served_by"]["reason"] == "replica"
    assert created.json["post"] not in listed.json["posts"]
    board.settle("cookie", lag=0)
    assert created.json["post"] == board.api().json["posts"][0]


@pytest.mark.parametrize("token", [None, "wrong"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_api_wants_a_token(board, method, token):
    """Without a known token the API answers 401 and says how to send one."""
    answer = board.api(method, token=token, body=b'{"text": "x"}' if method == "POST" else None)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert "Authorization" in answer.json["error"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": ',
        b"\xff",
        b"[]",
        b"{}",
        b'{"text": 1}',
        b'{"text": " "}',
        b'{"text": "\\ud800"}',
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(json.dumps({"text": "x" * 501}).encode(), id="long"),
    ],
)
def test_the_api_refuses_what_is_no_post(board, body):
    """Broken JSON and texts that cannot be kept are answered with 400, an error, and no pin."""
    board.settle("cookie", lag=0)
    answer = board.api("POST", body=body)
    assert answer.status == 400
    assert answer.json["error"]
    assert "Set-Cookie" not in answer.headers


def test_the_api_knows_two_methods(board):
    """Other methods are answered with 405 and those that are allowed."""
    answer = board.api("DELETE")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST"


@pytest.fixture
def primary(tmp_path):
    """A connection to a primary with one table."""
    with closing(sqlite3.connect(tmp_path / "primary", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE number (value INTEGER)")
        yield connection


@pytest.fixture
def replication(primary, tmp_path):
    """Replicates to ``near``, 1 second behind, and ``far``, 5 seconds behind."""
    replicas = {"near": tmp_path / "near", "far": tmp_path / "far"}
    with closing(SQLiteReplication(tmp_path / "primary", replicas, {"near": 1, "far": 5})) as replication:
        yield replication


@pytest.fixture
def numbers(tmp_path):
    """Reads what a replica holds."""

    def read(name):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            return [value for (value,) in connection.execute("SELECT value FROM number ORDER BY value")]

    return read


def test_a_replica_is_what_the_primary_was(primary, replication, numbers):
    """At the time t each replica holds what the primary held at t - lag."""
    replication.step(100)
    for second in (101, 102, 103):
        primary.execute("INSERT INTO number VALUES (?)", [second])
        replication.step(second)
    assert numbers("near") == [101, 102]
    replication.step(105)
    assert numbers("near") == [101, 102, 103]
    assert numbers("far") == []
    replication.step(107.5)
    assert numbers("far") == [101, 102]


def test_behind_is_the_age_of_what_a_replica_lacks(primary, replication):
    """A replica is behind by the age of the oldest change that it lacks, and 0 if it lacks none."""
    replication.step(100)
    assert replication.behind("near", 100.5) == 0.5
    replication.step(105)
    assert replication.behind("near", 200) == 0
    primary.execute("INSERT INTO number VALUES (1)")
    assert replication.behind("near", 200) > 0, "a change counts from the moment in which it is seen"
    assert replication.behind("near", 200.5) == 0.5
    replication.step(201)
    assert replication.behind("near", 201) == 0
    assert replication.behind("far", 201) == 1


def test_a_new_lag_takes_effect_at_once(primary, replication, numbers):
    """A shorter lag brings the replica up to date at the next step."""
    replication.step(100)
    replication.set_lag("far", 0)
    assert replication.lags == {"near": 1, "far": 0}
    replication.step(100.1)
    assert numbers("far") == []
    assert replication.behind("far", 100.1) == 0
    with pytest.raises(KeyError, match="nowhere"):
        replication.set_lag("nowhere", 1)


def test_a_broken_replica_refuses_connections_and_catches_up_when_it_is_mended(primary, replication, numbers):
    """Broken or mended twice is as broken or mended once."""
    replication.step(100)
    replication.step(105)
    for _ in range(2):
        replication.break_replica("near")
    with pytest.raises(sqlite3.OperationalError):
        numbers("near")
    primary.execute("INSERT INTO number VALUES (1)")
    replication.step(106)
    replication.step(120)
    assert (replication.broken, replication.behind("near", 120), replication.behind("far", 120)) == ({"near"}, None, 0)
    for _ in range(2):
        replication.mend_replica("near")
    assert (replication.broken, replication.behind("near", 120), numbers("near")) == (set(), 14, [])
    replication.step(121)
    assert numbers("near") == [1]
    for tell in (replication.break_replica, replication.mend_replica):
        with pytest.raises(KeyError, match="nowhere"):
            tell("nowhere")


def test_snapshots_are_bounded_and_none_of_what_they_hold_is_lost(primary, replication, numbers, monkeypatch):
    """However much is written, few snapshots wait, and the replica gets everything in the end."""
    monkeypatch.setattr(sqlite, "MOST_SNAPSHOTS", 4)
    for value in range(50):
        primary.execute("INSERT INTO number VALUES (?)", [value])
        replication.step(100 + value / 100)
        assert all(len(waiting) <= 4 for waiting in replication._waiting.values())
    assert replication.behind("far", 101) == 1
    replication.step(110)
    assert numbers("near") == numbers("far") == list(range(50))


def test_readers_do_not_stop_the_replication(primary, replication, numbers, tmp_path):
    """A replica is replaced while somebody reads it, who goes on to read what was there."""
    primary.execute("INSERT INTO number VALUES (1)")
    replication.step(100)
    replication.step(110)
    primary.execute("INSERT INTO number VALUES (2)")
    replication.step(110)
    with closing(sqlite3.connect(tmp_path / "near", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM number").fetchone() == (1,)
        replication.step(120)
        assert reader.execute("SELECT count(*) FROM number").fetchone() == (1,)
    assert numbers("near") == [1, 2]
