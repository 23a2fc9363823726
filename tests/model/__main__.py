"""Runs ``tests/test_model.py`` for long: ``python -m tests.model --examples 5000 --seed 1``.

Each seed gives other examples. Prints how much was run, or the shortest sequence of steps that ends in a read which
breaks a promise, and then its exit status is 1. Run it where ``tests`` is.
"""

import argparse
import os
import sys
import time


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--examples", type=int, default=5000, help="worlds to try (5000)")
    parser.add_argument("--steps", type=int, default=40, help="steps in each (40)")
    parser.add_argument("--seed", type=int, default=1, help="which examples (1)")
    parser.add_argument("--outages", action="store_true", help="only those in which Redis goes again and again")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    # They need Django's apps.
    from hypothesis import seed, settings
    from hypothesis.stateful import run_state_machine_as_test

    from tests.model.machine import Model
    from tests.model.outages import Outages
    from tests.test_model import PROFILE

    machine = Outages if options.outages else Model
    long = settings(PROFILE, max_examples=options.examples, stateful_step_count=options.steps, derandomize=False)
    began = time.perf_counter()
    try:
        run_state_machine_as_test(seed(options.seed)(machine), settings=long)
    except AssertionError as error:
        sys.stdout.write(f"{error}\n" + "\n".join(getattr(error, "__notes__", [])) + "\n")
        return 1
    seconds = time.perf_counter() - began
    sys.stdout.write(f"{options.examples} examples of {options.steps} steps: {Model.tally}, in {seconds:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
