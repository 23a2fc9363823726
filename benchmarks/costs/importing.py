"""Says how many seconds the imports of the modules that are named take, once Django is set up.

``serving`` before the names: once it is set up to serve, too.
"""

import importlib
import sys
from time import process_time

import django


def main() -> None:
    surroundings, *names = sys.argv[1:]
    django.setup()
    if surroundings == "serving":
        from django.core.wsgi import get_wsgi_application  # not before: it imports much of Django

        get_wsgi_application()
    begin = process_time()
    for name in names:
        importlib.import_module(name)
    sys.stdout.write(f"{process_time() - begin}\n")


if __name__ == "__main__":
    main()
