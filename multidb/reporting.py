"""Reporting: what is told about a request at its end: in a header, in the log, and by a signal."""

import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from multidb.conf import conf
from multidb.explanation import Explanation, logger, whole
from multidb.routing import Routing
from multidb.signals import request_routed

HEADER = "Server-Timing"


def report(request: HttpRequest, response: HttpResponseBase, state: Routing) -> None:
    """Tell where the reads of ``request`` went, if ``state`` has noted it: of a stream, when that has ended."""
    explanation = _untold(state)
    if explanation is None:
        return
    _explain_in_header(response, explanation)
    if isinstance(response, StreamingHttpResponse):
        streaming: Any = response  # Of which the stubs do not know all.
        streaming._resource_closers.append(partial(_tell, request, response, explanation))
    else:
        _tell(request, response, explanation)


async def areport(request: HttpRequest, response: HttpResponseBase, state: Routing) -> None:
    """The async twin of ``report``."""
    if isinstance(response, StreamingHttpResponse):
        report(request, response, state)
        return
    explanation = _untold(state)
    if explanation is None:
        return
    _explain_in_header(response, explanation)
    await request_routed.asend_robust(None, **_logged(request, response, explanation))


def _untold(state: Routing) -> Explanation | None:
    """What is to be told of the request: nothing where it was, as of one that is cancelled while it is being told."""
    explanation = whole(state)
    if explanation is None or explanation.is_told:
        return None
    explanation.is_told = True
    return explanation


def _tell(request: HttpRequest, response: HttpResponseBase, explanation: Explanation) -> None:
    request_routed.send_robust(None, **_logged(request, response, explanation))


def _logged(request: HttpRequest, response: HttpResponseBase, explanation: Explanation) -> dict[str, Any]:
    """What the log has been told, and the receivers are to be."""
    counts, dry_run_counts = explanation.counts(), explanation.counts(is_dry_run=True)
    if conf.explain and (counts or not dry_run_counts):
        _log(request, "reads", counts)
    if dry_run_counts:
        _log(request, "would read, in a dry run,", dry_run_counts)
    return {"request": request, "response": response, "counts": counts, "dry_run_counts": dry_run_counts}


def _log(request: HttpRequest, what: str, counts: Mapping[tuple[str, str], int]) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    # Not the path, which the client chose: it may hold a secret, or a line break.
    view = request.resolver_match.view_name if request.resolver_match else "no view"
    reads = ", ".join(f"{count} from {alias} ({reason})" for (alias, reason), count in counts.items()) or "nothing"
    logger.info("%s %s %s", view, what, reads)


def _explain_in_header(response: HttpResponseBase, explanation: Explanation) -> None:
    """https://www.w3.org/TR/server-timing/"""
    if not conf.explain:
        return
    metrics = [
        _metric(f"{prefix}{alias}-{reason}", f"{what}{count} from {alias} ({reason})")
        for is_dry_run, prefix, what in ((False, "", ""), (True, "dry-run-", "dry run: "))
        for (alias, reason), count in explanation.counts(is_dry_run).items()
    ]
    if not metrics and not isinstance(response, StreamingHttpResponse):  # Of which the reads are still to come.
        metrics.append(_metric("multidb", "no reads"))
    others = response.get(HEADER)
    if metrics:
        response[HEADER] = ", ".join([*([others] if others else []), *metrics])


def _metric(name: str, description: str) -> str:
    return f'{_NO_TOKEN.sub("-", name)};desc="{_UNQUOTED.sub("?", description)}"'


# https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
_NO_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")

_UNQUOTED = re.compile(r'[^ -~]|["\\]')
