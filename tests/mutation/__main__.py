"""Runs mutmut over where reads go and where pins are kept: ``python -m tests.mutation``, at the root of the project.

``python -m tests.mutation "multidb.pins.*"`` runs the mutants of one module. Prints how many there are in each, how
many the tests killed, and those that survived. The exit status is 1 if one of these is not in ``docs/testing.md``.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PAGE = Path("docs/testing.md")
# What a test run exits with: a test failed; pytest itself did; it was ended, for it took too long.
KILLED = (1, 3, -24)

LITERAL = re.compile(r'"([^"]*)"')


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("names", nargs="*", help="which mutants, such as multidb.pins.* (all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="mutants at once (one each processor)")
    parser.add_argument("--report", action="store_true", help="only say again what the last run found")
    options = parser.parse_args()
    if not options.report:
        shutil.rmtree("mutants", ignore_errors=True)
        subprocess.run(["mutmut", "run", "--max-children", str(options.processes), *options.names], check=True)
    return report(PAGE.read_text())


def report(page: str) -> int:
    """Print what the last run found. Return 1 if a mutant survived that is not in ``page``."""
    unlisted = 0
    for module in sorted(Path("mutants").rglob("*.py.meta")):
        results = json.loads(module.read_text())["exit_code_by_key"]
        survivors = {name: _change(name) for name, code in results.items() if code not in (*KILLED, None)}
        rewordings = [name for name, change in survivors.items() if _is_rewording(*change)]
        run = sum(code is not None for code in results.values())
        if run:
            path = module.relative_to("mutants").with_suffix("")
            others = len(survivors) - len(rewordings)
            sys.stdout.write(
                f"{path}: {run} mutants, {run - len(survivors)} killed, {len(rewordings)} reworded, {others} others\n"
            )
        for name in survivors.keys() - rewordings:
            change = "`{}` → `{}`".format(*survivors[name])
            if change not in page:
                unlisted += 1
                sys.stdout.write(f"  not in {PAGE}: {name}\n    {change}\n")
    return 1 if unlisted else 0


def _change(name: str) -> tuple[str, str]:
    """The line before and after."""
    shown = subprocess.run(["mutmut", "show", name], check=True, capture_output=True, text=True).stdout.splitlines()
    lines = [line for line in shown if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
    return before, after


def _is_rewording(before: str, after: str) -> bool:
    """Is it the text of a message, of more than one word, that is changed?"""
    literals = zip(LITERAL.findall(before), LITERAL.findall(after), strict=False)
    changed = [(text, other) for text, other in literals if text != other]
    return bool(changed) and all(
        " " in text and other.replace("XX", "").lower() == text.lower() for text, other in changed
    )


if __name__ == "__main__":
    sys.exit(main())
