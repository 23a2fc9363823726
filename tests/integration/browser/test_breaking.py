"""In a real browser: a replica is broken from the page, and mended."""

from collections.abc import Callable
from typing import Any

from tests.boards import Board
from tests.integration.browser.visitors import (
    REPLICAS,
    answered_by,
    card,
    choose_store,
    expect,
    notice,
    post,
    posts,
    press,
    reload_until,
)


def test_a_broken_replica_is_left_out_and_answers_again_when_it_is_mended(board: Board, page: Any) -> None:
    """Every page comes meanwhile, from the other one."""
    board.settle("off", lag=0)
    press(page, "Break", "replica-1")
    expect(card(page, "replica-1")).to_contain_text("does not answer")
    for _ in range(3):
        page.reload()
        expect(answered_by(page)).to_contain_text("replica-2")
    press(page, "Mend", "replica-1")
    expect(card(page, "replica-1")).to_contain_text("newest post")
    reload_until(page, "replica-1")


def test_without_any_replica_the_primary_answers(board: Board, page: Any) -> None:
    """And nobody misses anything, whatever the store; what was posted meanwhile is on the mended replicas."""
    board.settle("off", lag=0)
    for replica in REPLICAS:
        press(page, "Break", replica)
        expect(page.get_by_role("button", name=f"Mend {replica}")).to_be_visible()
    post(page, "Posted without replicas")
    expect(answered_by(page)).to_contain_text("reason: no replica")
    expect(notice(page)).to_contain_text("You see your own post")
    for replica in REPLICAS:
        press(page, "Mend", replica)
    for replica in REPLICAS:
        reload_until(page, replica)
        expect(posts(page)).to_contain_text("Posted without replicas")


def test_another_visitors_page_shows_it_without_being_loaded_again(
    board: Board, page: Any, open_board: Callable[..., Any]
) -> None:
    """Broken and mended, each within the next look at the status."""
    board.settle("off", lag=0)
    other = open_board()
    press(page, "Break", "replica-2")
    expect(other.get_by_role("button", name="Mend replica-2")).to_be_visible()
    expect(card(other, "replica-2")).to_contain_text("does not answer")
    press(page, "Mend", "replica-2")
    expect(other.get_by_role("button", name="Break replica-2")).to_be_visible()
    expect(card(other, "replica-2")).to_contain_text("newest post")


def test_what_is_being_written_outlives_what_loads_the_page_anew(board: Board, page: Any) -> None:
    """Until it is posted."""
    board.settle("off", lag=0)
    page.get_by_role("textbox").fill("A draft")
    press(page, "Break", "replica-1")
    expect(page.get_by_role("textbox")).to_have_value("A draft")
    choose_store(page, "Session")
    press(page, "Mend", "replica-1")
    expect(page.get_by_role("textbox")).to_have_value("A draft")
    post(page, "A draft, and its end")
    page.reload()
    expect(page.get_by_role("textbox")).to_have_value("")
