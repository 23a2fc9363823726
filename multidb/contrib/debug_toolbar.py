"""A panel for django-debug-toolbar: why did this query go there?

Add ``"multidb.contrib.debug_toolbar.RoutingPanel"`` to ``DEBUG_TOOLBAR_PANELS``.
"""

import time
from collections import Counter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from multidb.backends import get_pin_store
from multidb.conf import conf
from multidb.explanation import Explanation, explain
from multidb.routing import Routing

try:
    from debug_toolbar.panels import Panel
except ImportError as error:
    raise ImproperlyConfigured(
        "multidb.contrib.debug_toolbar needs django-debug-toolbar: "
        f'pip install "django-multidb-pinning[toolbar]" ({error})'
    ) from error

# Kinds of reads that are shown: a page that has more of them needs another mend first.
MOST_ROWS = 200


class RoutingPanel(Panel):
    """The reads of a request by model, database, reason and place in the code, and the pin that it came with."""

    title = "Routing"
    template = "multidb/routing_panel.html"
    is_async = True

    _explanation: Explanation
    _began: float

    @property
    def nav_subtitle(self) -> str:
        return str(self.get_stats().get("summary", ""))

    def enable_instrumentation(self) -> None:
        self._explanation = explain(self.toolbar.request)
        self._began = time.time()

    def generate_stats(self, request: HttpRequest, response: HttpResponseBase) -> None:
        reads = list(self._explanation.reads.items())
        counts: Counter[tuple[str, str, bool]] = Counter()
        by_alias: Counter[str] = Counter()
        for read, count in reads:
            counts[read.alias, read.reason, read.is_dry_run] += count
            by_alias[read.alias] += count
        state = self._explanation.routing
        self.record_stats(
            {
                "is_routed": state is not None,
                "counts": [[*key, count] for key, count in counts.most_common()],
                "reads": [[*read, count] for read, count in reads[:MOST_ROWS]],
                "hidden": max(0, len(reads) - MOST_ROWS),
                "pins": _pins(request, state, self._began) if state is not None else [],
                "summary": ", ".join(f"{count} {alias}" for alias, count in by_alias.most_common()),
            }
        )


def _pins(request: HttpRequest, state: Routing, began: float) -> list[dict[str, Any]]:
    """What the pin that the request came with, when it ``began``, says of each primary."""
    if state.pin is None:
        return []
    store = get_pin_store()
    in_cookie = store.fallback.load(request) if store.fallback is not None else None
    pins = []
    for primary, hold in state.pin.holds.items():
        left = max(0, hold.until / 1000 - began)
        is_in_cookie = in_cookie is not None and in_cookie.holds.get(primary) == hold
        pins.append(
            {
                "primary": primary,
                "age": round(max(0, conf.pinning_seconds - left), 1),
                "left": round(left, 1),
                "position": dict(hold.position) if hold.position else None,
                "source": type(store.fallback if is_in_cookie else store).__name__,
            }
        )
    return pins
