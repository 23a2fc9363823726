"""What a visitor does on the board, and finds there."""

import re
import time
from typing import Any

from tests.boards import READY_SECONDS

REPLICAS = ("replica-1", "replica-2")

# What the time line shows at one moment: the line that each mark lies on, and where on it.
DRAWN = """() => {
  const all = (selector) => [...document.querySelectorAll(`svg.timeline ${selector}`)];
  const box = (element) => element.getBoundingClientRect();
  const height = (element) => box(element).top + box(element).height / 2;
  const names = all("text.database").map((text) => text.textContent);
  const heights = all("line.database").map(height);
  const mark = (element, kind) => {
    const distances = heights.map((each) => Math.abs(each - height(element)));
    const line = names[distances.indexOf(Math.min(...distances))];
    return { kind, line, left: box(element).left, right: box(element).right };
  };
  return {
    writes: all("line.write").map((line) => mark(line, "write")),
    reads: all(".read").map((read) => mark(read.lastElementChild, read.classList[1])),
    lacks: all(".lack").map((band) => mark(band, "lack")),
    arrivals: all(".arrival").map((line) => mark(line, "arrival")),
  };
}"""


def expect(what: Any) -> Any:
    """What Playwright calls so. Imported late: where it is missing, the fixture ``browser`` says so."""
    from playwright.sync_api import expect

    return expect(what)


def choose_store(page: Any, name: str) -> None:
    """Choose the pin store called ``name`` on the page."""
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")


def sign_in(page: Any, username: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=f"Sign in as {username}").click()
    expect(page.get_by_text("Signed in as")).to_contain_text(username)


def post(page: Any, text: str) -> None:
    """Write ``text``, and wait for what the page says of it."""
    page.get_by_role("textbox").fill(text)
    with page.expect_navigation():
        page.get_by_role("button", name="Post", exact=True).click()
    expect(notice(page)).to_be_visible()


def press(page: Any, verb: str, replica: str) -> None:
    """``Break`` or ``Mend`` a replica, and wait for the page that follows."""
    with page.expect_navigation():
        page.get_by_role("button", name=f"{verb} {replica}").click()


def reload_until(page: Any, text: str) -> None:
    """Load the page again until what says who answered has ``text``."""
    deadline = time.monotonic() + READY_SECONDS
    while text not in answered_by(page).inner_text() and time.monotonic() < deadline:
        page.reload()
    expect(answered_by(page)).to_contain_text(text)


def notice(page: Any) -> Any:
    return page.locator(".notice")


def posts(page: Any) -> Any:
    return page.locator(".posts")


def answered_by(page: Any) -> Any:
    """What says which database answered, and for which reason."""
    return page.locator(".served")


def card(page: Any, replica: str) -> Any:
    return page.locator(f"[data-replica={replica}]")


def slider(page: Any, replica: str) -> Any:
    return page.get_by_role("slider", name=f"Lag of {replica}")


def seconds_of_pin(page: Any) -> float | None:
    """What the countdown shows; ``None`` if it shows nothing."""
    shown = page.locator("[data-pin-seconds]").inner_text()
    return float(re.sub(r"\s*s$", "", shown)) if shown else None
