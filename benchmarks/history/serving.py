"""What a worker runs: the site, on a port, in threads. Its arguments are the port and the settings as JSON."""

import json
import sys

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from servers.processes import HOST

from history.project import set_up


class Handler(WSGIRequestHandler):
    """Writes no line for each request. Small answers are sent at once."""

    disable_nagle_algorithm = True

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class WorkerServer(ThreadedWSGIServer):
    """A thread for each connection, and room for those of all clients that come at once."""

    request_queue_size = 256


def serve(port: int, settings: str) -> None:
    set_up(json.loads(settings))
    server = WorkerServer((HOST, port), Handler, ipv6=False)
    server.set_app(get_wsgi_application())
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
