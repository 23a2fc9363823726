"""A process of one site, which calls what each line on its stdin names, and answers with a line of JSON."""

import json
import os
import sys

import django
from django.utils.module_loading import import_string


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Whatever is printed meanwhile is no answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    django.setup()
    for line in sys.stdin:
        order = json.loads(line)
        answers.write(json.dumps(import_string(order["call"])(**order["arguments"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
