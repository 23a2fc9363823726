"""The board for gunicorn, in one process: the pin store in use and the time line are the process's own."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application


def _started() -> WSGIHandler:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "board.settings")
    application = get_wsgi_application()
    # Imported late, because their models need Django to be set up.
    from board.databases import replication
    from board.watching import watch

    replication().start()
    watch()
    return StaticFilesHandler(application)


application = _started()
