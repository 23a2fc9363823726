"""In a real browser: the page by keyboard, narrow and wide, dark and light, without scripts, and as axe sees it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.boards import Board
from tests.integration.browser.conftest import PATIENCE
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
    sign_in,
    slider,
)

NARROW = {"viewport": {"width": 390, "height": 844}}
WIDE = {"viewport": {"width": 1440, "height": 900}}
WIDTHS = [pytest.param(NARROW, id="390"), pytest.param(WIDE, id="1440")]
SCHEMES = ["light", "dark"]

# Pairs of parts that are beside or beneath each other, and overlap all the same.
OVERLAPPING = """() => {
  const selectors = "header > *, .card, .notice, .database, .switch button, text.database, text.tick";
  const parts = [...document.querySelectorAll(selectors)];
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const overlap = (a, b) => !a.contains(b) && meet(a.getBoundingClientRect(), b.getBoundingClientRect());
  const pairs = parts.flatMap((a, number) => parts.slice(number + 1).map((b) => [a, b]));
  return pairs.filter(([a, b]) => overlap(a, b)).map((pair) => pair.map((part) => part.outerHTML));
}"""

# What can be used but is covered by something else, and text that does not fit in its box.
COVERED = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), textarea, summary")]
  .filter((part) => part.checkVisibility())
  .filter((part) => {
    part.scrollIntoView({ block: "center" });
    const box = part.getBoundingClientRect();
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    return !(part.contains(top) || top?.contains(part)) || part.scrollWidth > part.clientWidth + 1;
  })
  .map((part) => part.outerHTML)"""


def at_rest(board: Board, page: Any) -> None:
    board.settle("cookie", lag=0)
    page.reload()


def missed(board: Board, page: Any) -> None:
    board.settle("off", lag=10)
    post(page, "A word that is as long as nobody ever " + "writes" * 40)
    expect(notice(page)).to_contain_text("You do not see your own write.")


def seen(board: Board, page: Any) -> None:
    board.settle("redis", lag=10)
    sign_in(page, "ada")
    post(page, "Seen")
    expect(notice(page)).to_contain_text("You see your own post")
    for summary in page.locator("summary").all():
        summary.click()


def broken(board: Board, page: Any) -> None:
    board.settle("off", lag=0)
    press(page, "Break", "replica-1")
    expect(card(page, "replica-1")).to_contain_text("does not answer")


STATES = [at_rest, missed, seen, broken]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overlaps_and_nothing_scrolls_sideways(
    board: Board, open_board: Callable[..., Any], width: dict[str, Any], state: Callable[[Board, Any], None]
) -> None:
    """And all that can be used lies open, with its text inside."""
    page = open_board(**width)
    state(board, page)
    assert page.evaluate("document.documentElement.scrollWidth") == width["viewport"]["width"]
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(COVERED) == []


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious(
    board: Board,
    open_board: Callable[..., Any],
    width: dict[str, Any],
    scheme: str,
    state: Callable[[Board, Any], None],
) -> None:
    """In either colour scheme, contrast too."""
    from axe_playwright_python.sync_playwright import Axe

    page = open_board(color_scheme=scheme, **width)
    state(board, page)
    found = Axe().run(page).response["violations"]
    assert [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ] == []


def test_dark_is_dark_and_light_is_light(open_board: Callable[..., Any]) -> None:
    """The page goes by what the visitor prefers."""
    lightness = "parseInt(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])"
    light, dark = (open_board(color_scheme=scheme).evaluate(lightness) for scheme in SCHEMES)
    assert dark < 64 < 192 < light


def tab_to(page: Any, wanted: Any) -> None:
    """Press Tab until ``wanted`` has the focus, and see that this shows."""
    for _ in range(100):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            break
    expect(wanted).to_be_focused()
    assert wanted.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


def test_everything_can_be_done_by_keyboard(board: Board, page: Any) -> None:
    """Choose a store, sign in, write, set a lag, break a replica and mend it: Tab, Enter, Space and the arrows do."""
    board.settle("off", lag=5)
    page.reload()
    tab_to(page, page.get_by_role("button", name="Redis"))
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Redis")).to_have_attribute("aria-pressed", "true")
    tab_to(page, page.get_by_role("button", name="Sign in as ada"))
    with page.expect_navigation():
        page.keyboard.press("Space")
    expect(page.get_by_text("Signed in as")).to_be_visible()

    tab_to(page, page.get_by_role("textbox"))
    page.keyboard.type("Written by keyboard")
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")
    expect(notice(page)).to_contain_text("You see your own post")
    expect(posts(page)).to_contain_text("Written by keyboard")

    tab_to(page, slider(page, "replica-1"))
    page.keyboard.press("ArrowRight")
    expect(card(page, "replica-1").get_by_role("status")).to_have_text("5.5 s")
    for verb, opposite in (("Break", "Mend"), ("Mend", "Break")):
        tab_to(page, page.get_by_role("button", name=f"{verb} replica-2"))
        with page.expect_navigation():
            page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=f"{opposite} replica-2")).to_be_visible()

    tab_to(page, page.get_by_text("The same in words"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("table").first).to_be_visible()


def test_the_page_works_without_scripts(board: Board, open_board: Callable[..., Any]) -> None:
    """A lag is set by its button, and the time line is drawn."""
    board.settle("off", lag=10)
    page = open_board(java_script_enabled=False)
    for replica in REPLICAS:
        expect(card(page, replica).get_by_role("button", name="Set")).to_be_visible()
    choose_store(page, "Session")
    post(page, "Posted without scripts")
    expect(notice(page)).to_contain_text("You see your own post")
    expect(answered_by(page)).to_contain_text("reason: pinned")
    expect(page.get_by_role("img", name="Time line")).to_be_visible()


@pytest.fixture
def unwatched(browser: Any, board: Board) -> Iterator[Any]:
    """A browser context in whose pages something may go wrong."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def test_a_page_of_before_a_visitor_signed_in_says_what_to_do(board: Board, unwatched: Any) -> None:
    """In another tab: neither a lag nor a post is taken, and the page keeps its shape."""
    board.settle("cookie", lag=5)
    old, new = unwatched.new_page(), unwatched.new_page()
    old.goto(board.address)
    new.goto(board.address)
    sign_in(new, "ada")
    slider(old, "replica-1").press("ArrowRight")
    said = "You have signed in or out in another tab. Go back, and try again."
    expect(card(old, "replica-1").get_by_role("alert")).to_contain_text(said)
    assert old.evaluate("document.documentElement.scrollWidth <= innerWidth")
    old.get_by_role("textbox").fill("Nobody's")
    old.get_by_role("button", name="Post", exact=True).click()
    expect(old.locator("body")).to_contain_text(said)


def test_a_page_whose_server_has_gone_says_so(board: Board, unwatched: Any) -> None:
    """Until that is back."""
    page = unwatched.new_page()
    page.goto(board.address)
    away = page.get_by_text("The server does not answer")
    expect(away).to_be_hidden()
    page.route("**/status", lambda route: route.abort())
    expect(away).to_be_visible()
    page.unroute("**/status")
    expect(away).to_be_hidden()


def test_at_400_percent_nothing_scrolls_sideways(board: Board, open_board: Callable[..., Any]) -> None:
    """https://www.w3.org/WAI/WCAG22/Understanding/reflow.html: 1280 px are 320 px then."""
    page = open_board(viewport={"width": 320, "height": 256})
    missed(board, page)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
