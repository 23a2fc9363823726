"""What routing costs beside that of others: a read, and whole requests."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from servers import ServersMissing

from costs.databases import REPLICAS, postgresql, sqlite
from costs.options import Options
from costs.report import Row, Table, microseconds, times
from costs.rounds import Figures, interleaved
from costs.sites import Site
from costs.subjects import OURS, PREDECESSOR, SUBJECTS, Subject

ROUNDS = 51


class Measure(NamedTuple):
    """One row: a task, and how many times the predecessor's cost it may be, and by how many seconds more."""

    what: str
    task: str
    most_times: float
    most_more: float | None = None

    @property
    def target(self) -> str:
        more = "" if self.most_more is None else f", at most {self.most_more * 1e6:g} us more"
        return f"at most {self.most_times:.1f} x 0.11{more}"


MEASURES = (
    Measure("`db_for_read`, not pinned", "read", 1.0),
    Measure("`db_for_read`, pinned", "pinned read", 1.0),
    Measure("reading request: routing alone", "routing of a reading request", 1.0),
    Measure("reading request, ten models: routing alone", "routing of a reading request for many models", 1.0),
    Measure("reading request: all of Django", "reading request", 1.0),
    Measure("pinned reading request: routing alone", "routing of a pinned request", 1.0),
    Measure("pinned reading request, ten models: routing alone", "routing of a pinned request for many models", 1.0),
    Measure("pinned reading request: all of Django", "pinned request", 1.0),
    Measure("writing request: routing alone", "routing of a writing request", 2.0, 30e-6),
    Measure("writing request: all of Django", "writing request", 2.0, 30e-6),
)

UNTIL_REPLAYED = Measure('`db_for_read`, pinned, `"replayed"`', "pinned read", 1.0)

NOTE = """\
CPU time, and the ratio to django-multidb-router 0.11. `db_for_read` is called through Django's own router. Routing
alone is the middleware, and a view that asks the router ten times where a read of one model goes, or of ten models if
that is said, and once where a write goes if it is a POST. All of Django is its WSGI handler, the URL resolver, the same
middleware, and ten queries (and one that writes) on SQLite in a file. Pins are in cookies, of which ours is signed, and
hold for their seconds; with `"replayed"` on a PostgreSQL primary with {standbys} standbys that have replayed the
write."""


def tables(options: Options, subjects: Sequence[Subject] = SUBJECTS) -> list[Table]:
    with sqlite() as databases, ExitStack() as stack:
        sites, missing = {}, []
        for subject in subjects:
            if subject.peer and not subject.peer.is_installed:
                missing.append(f"{subject.name} is left out: it is not installed.")
                continue
            site = Site(stack, subject, subject.settings(databases), options)
            if site.failure:
                missing.append(f"{subject.name} is left out: it does not work with this Django ({site.failure}).")
                continue
            sites[subject.name] = site
        rows = [_row(measure, sites, options) for measure in MEASURES]
    try:
        rows.append(_until_replayed([subject for subject in subjects if subject.name in sites], options))
    except ServersMissing as lacking:
        missing.append(f"Pins with a position are left out: {lacking}")
    rounds = f"Medians of {options.rounds or ROUNDS} interleaved rounds."
    return [Table("Routing", list(sites), rows, [f"{NOTE.format(standbys=REPLICAS)} {rounds}", *missing])]


def _until_replayed(subjects: Sequence[Subject], options: Options) -> Row:
    """Of a pin that holds until a replica has replayed the write, which it has, on PostgreSQL."""
    with postgresql(REPLICAS) as databases, ExitStack() as stack:
        settings = {
            subject: subject.settings(databases, **({"MULTIDB_PINNING_UNTIL": "replayed"} if subject is OURS else {}))
            for subject in subjects
        }
        sites = {subject.name: Site(stack, subject, each, options) for subject, each in settings.items()}
        return _row(UNTIL_REPLAYED, sites, options)


def _row(measure: Measure, sites: Mapping[str, Site], options: Options) -> Row:
    figures = interleaved({name: site.measure(measure.task) for name, site in sites.items()}, options.rounds or ROUNDS)
    cells = [microseconds(figures.median(name)) for name in sites]
    if PREDECESSOR.name not in sites:
        return Row(measure.what, cells, target=measure.target)
    return Row(measure.what, cells, _compared(measure, figures), measure.target, _is_reached(measure, figures))


def _compared(measure: Measure, figures: Figures) -> str:
    pair = OURS.name, PREDECESSOR.name
    ratio = times(figures.ratio(*pair))
    return ratio if measure.most_more is None else f"{ratio}, {microseconds(figures.difference(*pair))} more"


def _is_reached(measure: Measure, figures: Figures) -> bool:
    """To the digits that are shown."""
    pair = OURS.name, PREDECESSOR.name
    is_close = measure.most_more is None or figures.difference(*pair) <= measure.most_more
    return round(figures.ratio(*pair), 2) <= measure.most_times and is_close
