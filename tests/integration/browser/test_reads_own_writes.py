"""In a real browser: who misses their own post, and who does not."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.boards import Board, until
from tests.integration.browser.visitors import (
    REPLICAS,
    answered_by,
    card,
    choose_store,
    expect,
    notice,
    post,
    posts,
    seconds_of_pin,
    sign_in,
    slider,
)

COUNTED_DOWN = "from => parseFloat(document.querySelector('[data-pin-seconds]').textContent) < from"

STORES = ["Cookie", "Session", "Redis", "Cache"]


def test_with_pinning_off_a_visitor_misses_the_post_until_the_replicas_have_it(board: Board, page: Any) -> None:
    """The page says so, then offers to load it again, and there the post is."""
    board.settle("redis", lag=10)
    choose_store(page, "Off")
    post(page, "Where is my post?")
    expect(notice(page)).to_contain_text("You do not see your own write.")
    expect(answered_by(page)).to_contain_text("reason: replica")
    expect(posts(page)).not_to_contain_text("Where is my post?")

    page.get_by_role("link", name="Both replicas have it now").click()
    expect(notice(page)).to_contain_text("You see your own post")
    expect(posts(page)).to_contain_text("Where is my post?")
    expect(answered_by(page)).to_contain_text("reason: replica")


@pytest.mark.parametrize("store", STORES)
def test_with_a_store_a_visitor_sees_the_post_at_once(board: Board, page: Any, store: str) -> None:
    """Read from the primary, and again when the page is loaded anew, while both replicas lack it."""
    board.settle("off", lag=10)
    choose_store(page, store)
    sign_in(page, "grace")
    post(page, f"Here is my post, with {store}")
    for _ in range(2):
        expect(notice(page)).to_contain_text("You see your own post")
        expect(posts(page)).to_contain_text(f"Here is my post, with {store}")
        expect(answered_by(page)).to_contain_text("the primary")
        expect(answered_by(page)).to_contain_text("reason: pinned")
        page.reload()


@pytest.mark.parametrize(("store", "follows"), [("Redis", True), ("Cache", True), ("Cookie", False)])
def test_a_pin_under_the_user_follows_to_another_browser(
    board: Board, open_board: Callable[..., Any], store: str, follows: bool
) -> None:
    """What a user posts in one browser another one of theirs shows too, unless the pin is in a cookie."""
    board.settle("off", lag=10)
    phone, laptop = open_board(), open_board()
    for device in (phone, laptop):
        sign_in(device, "linus")  # Off: that would pin, too.
    choose_store(phone, store)
    post(phone, f"Posted on the phone, with {store}")
    laptop.reload()
    expect(answered_by(laptop)).to_contain_text(f"reason: {'pinned' if follows else 'replica'}")
    assert (f"Posted on the phone, with {store}" in posts(laptop).inner_text()) == follows


def test_lag_can_change_while_somebody_writes(board: Board, page: Any) -> None:
    """Setting it keeps what was typed, holds for the post that follows, and lets go of it when it is set back."""
    board.settle("off", lag=0)
    page.reload()
    page.get_by_role("textbox").fill("Typed before the lag was set")
    for replica in REPLICAS:
        slider(page, replica).press("End")
        expect(card(page, replica).get_by_role("status")).to_have_text("10 s")
    expect(page.get_by_role("textbox")).to_have_value("Typed before the lag was set")
    until(lambda: all(each["lag"] == 10 for each in board.visitor().get("/status").json["replicas"]))
    page.get_by_role("button", name="Post", exact=True).click()
    expect(notice(page)).to_contain_text("You do not see your own write.")

    for replica in REPLICAS:
        slider(page, replica).press("Home")
    page.get_by_role("link", name="Both replicas have it now").click()
    expect(posts(page)).to_contain_text("Typed before the lag was set")


def test_a_lag_that_was_just_set_is_sent_though_the_visitor_goes_on(board: Board, page: Any) -> None:
    """A post in the same moment takes nothing away: the next page shows the new lag, and so do the pages of others."""
    board.settle("cookie", lag=2)
    page.reload()
    page.get_by_role("textbox").fill("In the same moment")
    page.evaluate(
        """() => {
          const range = document.querySelector("[data-replica=replica-1] input[type=range]");
          range.value = 7.5;
          range.dispatchEvent(new Event("change"));
          document.querySelector("form.write").requestSubmit();
        }"""
    )
    expect(notice(page)).to_contain_text("You see your own post")
    expect(slider(page, "replica-1")).to_have_value("7.5")
    expect(card(page, "replica-1").get_by_role("status")).to_have_text("7.5 s")


def test_the_pin_counts_down_to_its_end(board: Board, page: Any) -> None:
    """It shows ever less, and then that nobody is pinned: the next page comes from a replica."""
    board.settle("cookie", lag=0)
    post(page, "For fifteen seconds")
    shown = seconds_of_pin(page)
    assert shown is not None
    assert 0 < shown <= 15
    page.wait_for_function(COUNTED_DOWN, arg=shown)
    expect(page.locator("[data-pin]")).to_contain_text("You are not pinned.")
    expect(page.locator("[data-pin-seconds]")).to_be_empty()
    page.reload()
    expect(answered_by(page)).to_contain_text("reason: replica")
