"""In a real browser: the board on real PostgreSQL standbys and Redis, where a pin ends when the write is replayed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.postgresql import PostgresCluster

from tests.boards import Board, on_postgres, until
from tests.integration.browser.visitors import (
    DRAWN,
    answered_by,
    card,
    expect,
    notice,
    post,
    posts,
    press,
    reload_until,
    sign_in,
    slider,
)
from tests.servers import started


@pytest.fixture(scope="module")
def served_board(
    browser: Any, redis_port: int, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Board]:
    list(started(request, lambda: PostgresCluster(standbys=0)))
    with on_postgres(tmp_path_factory.mktemp("board"), REDIS_URL=f"redis://127.0.0.1:{redis_port}/0") as board:
        yield board


def test_a_pin_ends_on_the_replica_that_has_replayed_the_post(board: Board, page: Any) -> None:
    """It answers its author, while the other one lags, and no read of the primary is made in vain."""
    board.settle("cookie", lag=0)
    slider(page, "replica-2").press("End")
    until(lambda: board.visitor().get("/status").json["replicas"][1]["lag"] == 10)
    expect(card(page, "replica-2").get_by_role("status")).to_have_text("10 s")
    post(page, "Replayed by one standby")
    expect(page.locator("[data-pin]")).to_contain_text(
        "replica-1 has replayed your post and answers you; replica-2 has not."
    )
    for _ in range(2):  # By turns, one of these would be the other's.
        page.reload()
        expect(answered_by(page)).to_contain_text("replica-1")
        expect(posts(page)).to_contain_text("Replayed by one standby")
    read = page.evaluate(DRAWN)["reads"][-1]
    assert (read["line"], read["kind"]) == ("replica-1", "current")


def test_a_users_other_browser_sees_the_post_too(board: Board, open_board: Callable[..., Any]) -> None:
    """The pin, with its position, is in a real Redis; signing in has pinned nobody."""
    board.settle("redis", lag=10)
    phone, laptop, other = open_board(), open_board(), open_board()
    for device, username in ((phone, "ada"), (laptop, "ada"), (other, "grace")):
        sign_in(device, username)
    reload_until(other, "reason: replica")  # A Redis that is new may have lost pins, for the seconds of a pin.
    post(phone, "Posted on the phone")
    for device, reason in ((laptop, "pinned"), (other, "replica")):
        device.reload()
        expect(answered_by(device)).to_contain_text(f"reason: {reason}")
    expect(posts(laptop)).to_contain_text("Posted on the phone")
    expect(posts(other)).not_to_contain_text("Posted on the phone")


def test_a_standby_crashes_and_comes_back(board: Board, page: Any) -> None:
    """Broken from the page: its process is killed. Mended: it is started, and catches up."""
    board.settle("off", lag=0)
    press(page, "Break", "replica-1")
    expect(card(page, "replica-1")).to_contain_text("does not answer")
    post(page, "Posted while a standby is down")
    reload_until(page, "replica-2")
    press(page, "Mend", "replica-1")
    reload_until(page, "replica-1")
    board.wait_until_replicated()
    page.reload()
    expect(posts(page)).to_contain_text("Posted while a standby is down")
    expect(notice(page)).to_have_count(0)
