"""Draws a request's way through the rooms: ``python docs/pictures/request.py`` writes ``request.svg`` beside it."""

from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).with_suffix(".svg")

# Who takes part, from left to right, and the modules that are that.
LANES = {
    "middleware": "middleware.py",
    "view": "the project's own",
    "routing": "routers.py, request_routing.py",
    "store": "lookup.py, backends/",
    "databases": "replicas.py, health.py, writes.py",
}

# From whom to whom, and what is said. Whoever speaks to itself thinks.
STEPS = [
    ("middleware", "routing", "begin a RequestRouting: nobody is asked"),
    ("middleware", "view", "call the view"),
    ("view", "routing", "a read: db_for_read"),
    ("routing", "routing", "does the request know by itself? (forced, off, method, wrote, transaction)"),
    ("routing", "store", "pinned? Load the pin, once"),
    ("routing", "databases", "which replica is up, near and far enough? Once"),
    ("routing", "view", "an alias, and the reason"),
    ("view", "databases", "the query; those that follow are settled, and ask nobody"),
    ("view", "databases", "a write: to the primary, and observed at its connection"),
    ("view", "middleware", "the response"),
    ("middleware", "databases", "did the request write? How far has the primary got? (pins that end by position)"),
    ("middleware", "store", "save the pin, merged with the one that it came with; the signed cookie has it too"),
]

LANE, TOP, STEP, MARGIN = 210, 80, 40, 20
WIDTH = LANE * len(LANES)
HEIGHT = TOP + STEP * (len(STEPS) + 1)


def drawn() -> str:
    """The picture, as SVG."""
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>', *map(_lane, LANES)]
    for number, step in enumerate(STEPS, 1):
        parts += _step(TOP + STEP * number, *step)
    return "\n".join([_HEAD, *parts, "</svg>", ""])


def _middle(lane: str) -> int:
    return LANE * list(LANES).index(lane) + LANE // 2


def _lane(lane: str) -> str:
    x = _middle(lane)
    return (
        f'<text x="{x}" y="32" class="lane">{lane}</text><text x="{x}" y="52">{escape(LANES[lane])}</text>'
        f'<line x1="{x}" y1="{TOP - 16}" x2="{x}" y2="{HEIGHT - MARGIN}" class="life"/>'
    )


def _step(y: int, sender: str, receiver: str, words: str) -> list[str]:
    begin, end = _middle(sender), _middle(receiver)
    if sender == receiver:
        return [f'<circle cx="{begin}" cy="{y}" r="4"/>', _words((begin, y - 9), words)]
    return [
        f'<line x1="{begin}" y1="{y}" x2="{end + (-7 if end > begin else 7)}" y2="{y}" class="said"/>',
        _words(((begin + end) // 2, y - 7), words),
    ]


def _words(place: tuple[int, int], words: str) -> str:
    x, y = place
    # On white, so that no line goes through them.
    return f'<text x="{x}" y="{y}" class="under">{escape(words)}</text><text x="{x}" y="{y}">{escape(words)}</text>'


_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
<title>A request's way</title>
<style>
text {{ font: 12px sans-serif; text-anchor: middle; fill: #21201d; }}
.lane {{ font-weight: bold; font-size: 15px; }}
.under {{ stroke: #fff; stroke-width: 4; }}
.life {{ stroke: #bbb; stroke-dasharray: 3 4; }}
.said {{ stroke: #0f5f5a; stroke-width: 1.6; marker-end: url(#head); }}
circle, marker path {{ fill: #0f5f5a; }}
</style>
<marker id="head" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="6" markerHeight="6" orient="auto-start-reverse">
<path d="M0 0 8 4 0 8z"/></marker>"""


if __name__ == "__main__":
    PICTURE.write_text(drawn())
