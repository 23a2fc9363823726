"""Django's command line for the board."""

import os
import sys
from pathlib import Path

from servers import ServerFailed, ServersMissing

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run a command. ``multidb`` is found in the repository, whether or not it is installed."""
    sys.path.insert(0, str(REPOSITORY))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "board.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except (ServersMissing, ServerFailed) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
