"""Makes as many calls of a task as it is told, of so many that it makes requests for: callgrind counts what it does."""

import sys

import django


def main() -> None:
    django.setup()
    from costs.tasks import TASKS

    task, calls, made = sys.argv[1:]
    TASKS[task](int(calls), int(made))


if __name__ == "__main__":
    main()
