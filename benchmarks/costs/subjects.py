"""What is measured side by side: this library, its peers, the floor, and Django without routing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from costs.environment import REPOSITORY
from costs.peers import MULTIDB_ROUTER, REPLICATED, Peer

MIDDLEWARE = "multidb.middleware.PinningRouterMiddleware"


class Subject(NamedTuple):
    """A way to route, or none.

    ``replicas`` is the setting that names the replicas, and ``defaults`` a module with settings that have to be there.
    """

    name: str
    router: str | None = None
    middleware: str | None = None
    app: str | None = None
    replicas: str | None = None
    defaults: str | None = None
    peer: Peer | None = None

    @property
    def path(self) -> Path:
        """Where its package is imported from."""
        return self.peer.folder if self.peer else REPOSITORY

    def settings(self, databases: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """The settings of a site on ``databases``, of which all but ``default`` are its replicas."""
        replicas = [alias for alias in databases if alias != "default"]
        return {
            "DATABASES": databases,
            "INSTALLED_APPS": [*([self.app] if self.app else []), "costs"],
            "DATABASE_ROUTERS": [self.router] if self.router else [],
            "MIDDLEWARE": [self.middleware] if self.middleware else [],
            **({self.replicas: replicas} if self.replicas else {}),
            **({"DEFAULTS": self.defaults} if self.defaults else {}),
            **more,
        }


OURS = Subject("multidb", "multidb.PinningReplicaRouter", MIDDLEWARE, "multidb", "REPLICA_DATABASES")
PREDECESSOR = Subject(
    "django-multidb-router 0.11",
    "multidb.PinningReplicaRouter",
    MIDDLEWARE,
    replicas="REPLICA_DATABASES",
    peer=MULTIDB_ROUTER,
)
OTHER = Subject(
    "django-replicated 2.7",
    "django_replicated.router.ReplicationRouter",
    "django_replicated.middleware.ReplicationMiddleware",
    replicas="REPLICATED_DATABASE_SLAVES",
    defaults="django_replicated.settings",
    peer=REPLICATED,
)
CONSTANT = Subject("a constant", "costs.routers.ConstantRouter")
PLAIN = Subject("no routing")

SUBJECTS = (OURS, PREDECESSOR, OTHER, CONSTANT, PLAIN)
