"""The example project on real PostgreSQL, run as a user runs it: the lag of its standbys is PostgreSQL's own."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from servers.postgresql import PostgresCluster

from tests.boards import PROJECT, environment, on_postgres, place, run, until
from tests.servers import started

# Runs a program of Python's where PostgreSQL is on PATH or nowhere.
WITHOUT_PLACES = """
import runpy, sys
import servers.postgresql
servers.postgresql.PLACES = ()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def postgres(request):
    """Skips where the servers cannot be started."""
    list(started(request, lambda: PostgresCluster(standbys=0)))


@pytest.fixture(scope="module")
def board(postgres, tmp_path_factory):
    """The board, served."""
    with on_postgres(tmp_path_factory.mktemp("board")) as board:
        yield board


def ask(board, replica, question):
    """What the server of ``replica-1`` or ``replica-2`` answers, asked without Django."""
    import psycopg

    ports = re.search(r"standbys on ports (\d+) and (\d+)", board.visitor().get().text).groups()
    port = ports[["replica-1", "replica-2"].index(replica)]
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="multidb") as connection:
        return connection.execute(question).fetchone()[0]


@contextmanager
def not_replaying(board, replica):
    """Inside, ``replica`` stays as it is."""
    ask(board, replica, "SELECT pg_wal_replay_pause()")
    try:
        yield
    finally:
        ask(board, replica, "SELECT pg_wal_replay_resume()")


def number_of(page):
    """The number of the post that the page tells its author about."""
    return re.search(r'data-posted="(\d+)"', page.text)[1]


@pytest.fixture
def runserver(port):
    """The arguments of ``manage.py`` that serve the board on a free port."""
    return ["runserver", f"127.0.0.1:{port}", "--noreload"]


def test_the_page_says_what_it_runs_on(board):
    """The page names the servers and the rule by which pins end."""
    text = board.visitor().get().text
    assert re.search(r"PostgreSQL \d+", text)
    assert "recovery_min_apply_delay" in text
    assert "A pin is made by a post alone, and holds until a replica has replayed it, for 15 s at most." in text


@pytest.mark.parametrize("store", ["cookie", "session", "redis"])
def test_an_author_sees_the_post_at_once_and_others_after_the_lag(board, store):
    """The author reads from the primary while the standbys lack the post, and another visitor reads without it."""
    board.settle(store, lag=10)
    author, other = board.visitor(), board.visitor()
    author.post("/sign-in", username="ada")
    page = author.post("/posts", text=f"Not replayed yet, with {store}")
    assert "You see your own post" in page.text
    assert "you were pinned to the primary until a replica is known to have your post" in page.text
    assert "reason: pinned" in page.text
    assert "until a replica has replayed your post" in author.get("/status").json["pin"]["sentence"]

    page = other.get()
    assert "reason: replica" in page.text
    assert f"Not replayed yet, with {store}" not in page.text
    for replica in ("replica-1", "replica-2"):
        other.post("/lag", replica=replica, lag=0)
    board.wait_until_replicated()
    assert f"Not replayed yet, with {store}" in other.get().text


def test_a_pin_ends_with_the_lag(board):
    """When the standbys have replayed the post, its author reads from one of them, though the pin is still there."""
    board.settle("cookie", lag=1)
    author = board.visitor()
    page = author.post("/posts", text="Replayed in a second")
    until(lambda: "reason: replica" in author.get(f"/?posted={number_of(page)}").text)
    page = author.get(f"/?posted={number_of(page)}")
    assert "Replayed in a second" in page.text
    assert "has replayed it, so the primary need not answer you any more" in page.text
    assert author.get("/status").json["pin"]["seconds"] == 0
    assert "multidb_pin_writes" in author.cookies()


def test_only_a_replica_that_has_replayed_the_post_answers_its_author(board):
    """One standby replays nothing and the other does: the author reads from that one, again and again."""
    board.settle("cookie", lag=0)
    author = board.visitor()
    sentence = "replica-1 has replayed your post and answers you; replica-2 has not."
    with not_replaying(board, "replica-2"):
        for _ in range(2):  # A pin is over before four slow pages are.
            author.post("/posts", text="Replayed by one")
            until(lambda: author.get("/status").json["pin"]["sentence"] == sentence)
            for _ in range(2):
                page = author.get()
                assert "These posts were read from <strong>replica-1</strong>" in page.text
                assert "Replayed by one" in page.text


def test_signing_in_pins_nobody(board):
    """Sessions and the time of the last login are written to the primary, and no page shows them."""
    board.settle("cookie", lag=10)
    visitor = board.visitor()
    page = visitor.post("/sign-in", username="grace")
    assert "Signed in as <strong>grace</strong>" in page.text
    assert "reason: replica" in page.text
    assert "multidb_pin_writes" not in visitor.cookies()


def test_the_api_sees_its_own_post(board):
    """A program without cookies reads its own write, from the primary while the standbys lack it."""
    board.settle("redis", lag=10)
    created = board.api("POST", body=b'{"text": "Posted by a program"}')
    listed = board.api()
    assert listed.json["served_by"] == {"database": "default", "reason": "pinned"}
    assert listed.json["posts"][0] == created.json["post"]


def test_a_lag_that_is_set_is_that_of_the_server(board):
    """What the page sets is the standby's recovery_min_apply_delay."""
    visitor = board.visitor()
    visitor.post("/lag", replica="replica-1", lag="3.5")
    visitor.post("/lag", replica="replica-2", lag="0")
    assert ask(board, "replica-1", "SHOW recovery_min_apply_delay") == "3500ms"
    assert ask(board, "replica-2", "SHOW recovery_min_apply_delay") == "0"
    assert [each["lag"] for each in visitor.get("/status").json["replicas"]] == [3.5, 0]


def test_the_page_lists_what_multidb_asks(board):
    """The question how much a replica has replayed is in the list, with its reason, and what the panels ask is not."""
    board.settle("cookie", lag=10)
    author = board.visitor()
    author.post("/posts", text="Where do my queries go?")
    rows = [row for row in author.get().text.split("<tr>") if "SELECT" in row]
    asked = [row for row in rows if "pg_last_wal_replay_lsn" in row]
    assert len(asked) == 2
    assert all("<td>position</td>" in row for row in asked)
    assert len([row for row in rows if "FROM board_post" in row]) == 1


def test_a_standby_that_has_crashed_is_left_out(postgres, tmp_path):
    """The page goes on with the other one, and says who does not answer."""
    with on_postgres(tmp_path) as board:
        process = ask(board, "replica-1", "SELECT pg_read_file('postmaster.pid')").splitlines()[0]
        os.kill(int(process), signal.SIGQUIT)
        visitor = board.visitor()
        until(lambda: visitor.get("/status").json["newest_posts"]["replica-1"] is None)
        assert "These posts were read from <strong>replica-2</strong>" in visitor.get().text
        assert visitor.get("/status").json["replicas"][0]["behind"] is None
        answer = visitor.post("/lag", replica="replica-1", lag=1)
        assert (answer.status, "replica-1 has not taken the lag" in answer.text) == (503, True)


def test_a_standby_that_is_broken_crashes_and_one_that_is_mended_is_started(board):
    """The author's page is answered by the other one, or the primary, and by the mended one in the end."""
    board.settle("off", lag=0)
    visitor = board.visitor()
    visitor.post("/break", replica="replica-1")
    assert "read from <strong>replica-2</strong>" in visitor.get().text
    assert visitor.get("/status").json["newest_posts"]["replica-1"] is None
    visitor.post("/mend", replica="replica-1")
    until(lambda: "read from <strong>replica-1</strong>" in visitor.get().text)
    assert visitor.get("/status").json["replicas"][0]["broken"] is False


def test_nothing_is_left_after_ctrl_c(postgres, tmp_path):
    """Ctrl-C ends the servers and removes their files, as SIGTERM does at the end of the other tests."""
    with on_postgres(tmp_path, end_by=signal.SIGINT) as board:
        assert board.visitor().get().status == 200


def test_nothing_is_left_where_the_port_is_taken(postgres, tmp_path):
    """A port that is taken is told in one line, and ends what was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken, place() as files:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run(tmp_path, "runserver", address, BOARD_POSTGRES="1", TMPDIR=str(files))
    assert result.returncode == 1
    assert f"The board cannot listen on {address}: Address already in use." in result.stderr
    assert "Traceback" not in result.stderr


def test_the_checks_are_silent(postgres, tmp_path):
    """The board is configured for PostgreSQL as multidb and Django want it."""
    result = run(tmp_path, "check", "--fail-level", "WARNING", BOARD_POSTGRES="1")
    assert result.returncode == 0, result.stderr


def test_a_missing_driver_is_told(tmp_path, runserver):
    """Without psycopg the board says what to install, in one line."""
    (tmp_path / "psycopg.py").write_text("raise ImportError('no such driver')")
    result = run(tmp_path, *runserver, BOARD_POSTGRES="1", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert re.fullmatch(r"The Python module psycopg .*no such driver.*pip install 'psycopg\[binary\]'\n", result.stderr)


def test_missing_programs_are_told(tmp_path, runserver):
    """Without PostgreSQL the board says what to install, in one line."""
    pytest.importorskip("psycopg")
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_PLACES, str(PROJECT / "manage.py"), *runserver],
        env=environment(tmp_path, BOARD_POSTGRES="1", PYTHONPATH=str(PROJECT), PATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert re.fullmatch(r"No directory .* has postgres and initdb .*: install PostgreSQL .*\n", result.stderr)
