"""Fixtures: the board, served, and pages of it in a real Chromium, in which nothing may go wrong unseen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from servers.programs import directory_of, driver

from tests.boards import Board, run, served
from tests.servers import started

INSTALL = "Chromium (Debian and Ubuntu: apt install chromium)"

# How many milliseconds something may take to appear on a page. Nothing is measured by it.
PATIENCE = 60_000


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium, without a window. Raises ``ServersMissing`` if it cannot be had."""
    playwright = driver("playwright.sync_api", "playwright")
    program = directory_of("chromium", places=("/usr/bin",), install=INSTALL) / "chromium"
    playwright.expect.set_options(timeout=PATIENCE)
    with playwright.sync_playwright() as playing:
        browser = playing.chromium.launch(executable_path=program)
        yield browser
        browser.close()


# Playwright has an event loop run in this thread until it ends. It has to, before a test with a loop of its own begins.
@pytest.fixture(scope="package")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The browser, which the tests of this package share."""
    yield from started(request, chromium)


@pytest.fixture(scope="package")
def served_board(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    directory = tmp_path_factory.mktemp("board")
    assert run(directory, "setup_board").returncode == 0
    with served(directory) as board:
        yield board


@pytest.fixture
def board(served_board: Board) -> Iterator[Board]:
    """The board, whose replicas are whole before and after."""
    yield served_board
    for alias in ("replica-1", "replica-2"):
        served_board.visitor().post("/mend", replica=alias)


@pytest.fixture
def open_board(browser: Any, board: Board) -> Iterator[Callable[..., Any]]:
    """Opens the board as a new visitor, who has no cookies; arguments are those of a browser context.

    In the end no page may have reported an error, or have asked another host for anything.
    """
    contexts: list[Any] = []
    wrong: list[str] = []

    def look_at(request: Any) -> None:
        if not request.url.startswith(f"{board.address}/"):
            wrong.append(f"asked for {request.url}")

    def open_board(**options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.on("request", look_at)
        context.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        page = context.new_page()
        page.goto(board.address)
        return page

    yield open_board
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page(open_board: Callable[..., Any]) -> Any:
    """The board, opened by one visitor."""
    return open_board()
