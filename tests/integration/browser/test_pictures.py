"""The README's picture, made from the real page: ``pytest tests/integration/browser/test_pictures.py --pictures``."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boards import Board, run, served
from tests.integration.browser.pictures import PICTURE, save, sources, sources_of
from tests.integration.browser.visitors import answered_by, card, choose_store, expect, notice, post, sign_in

# A second later: by then one sees how far behind the replicas are.
COUNTED_DOWN = "() => !(parseFloat(document.querySelector('[data-pin-seconds]').textContent) > 14)"

REMAKE = "The page has changed: make its picture anew, by pytest tests/integration/browser/test_pictures.py --pictures"


@pytest.fixture
def served_board(browser: Any, tmp_path: Path) -> Iterator[Board]:
    """A new board: on the picture are the posts of this test alone."""
    assert run(tmp_path, "setup_board").returncode == 0
    with served(tmp_path) as board:
        yield board


def has_post(page: Any, replica: str, number: int) -> None:
    """Wait until the page shows that the replica has it."""
    expect(card(page, replica)).to_contain_text(f"newest post #{number}")


def test_a_picture_of_what_pinning_costs_and_saves(
    board: Board, open_board: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One post is missed, one is seen until the replicas have it and longer, and one has just been written."""
    for replica, lag in (("replica-1", 4), ("replica-2", 6)):  # The page that misses a post may be slow.
        assert board.visitor().post("/lag", replica=replica, lag=lag).status == 200
    page = open_board(viewport={"width": 1440, "height": 900}, timezone_id="UTC", locale="en-GB")
    choose_store(page, "Off")
    sign_in(page, "grace")
    has_post(page, "replica-2", 3)
    post(page, "Pinning is off. Does anybody see this?")
    expect(notice(page)).to_contain_text("You do not see your own write.")
    has_post(page, "replica-1", 4)
    page.goto(page.url.partition("?")[0])
    has_post(page, "replica-2", 4)
    page.reload()
    sign_in(page, "ada")

    choose_store(page, "Redis")
    post(page, "I posted this on my phone, and my laptop shows it.")
    has_post(page, "replica-1", 5)
    page.reload()
    has_post(page, "replica-2", 5)
    post(page, "Now I see what I write.")
    page.wait_for_function(COUNTED_DOWN)
    expect(notice(page)).to_contain_text("You see your own post #6")
    expect(answered_by(page)).to_contain_text("reason: pinned")

    bottom = page.locator("#queries").evaluate("card => card.getBoundingClientRect().top + scrollY")
    above = {"x": 0, "y": 0, "width": 1440, "height": round(bottom)}
    picture = page.screenshot(full_page=True, clip=above)
    path = PICTURE if request.config.getoption("--pictures") else tmp_path / PICTURE.name
    save(picture, path)
    assert sources_of(path) == sources()


def test_the_picture_is_of_the_page_as_it_is_now() -> None:
    """It was made since the page was last changed."""
    assert sources_of(PICTURE) == sources(), REMAKE
