"""Looking for what a cluster needs: the programs of the server, and the driver."""

import importlib
import os
import re
import shutil
from pathlib import Path
from types import ModuleType

from . import ServersMissing


def directory_of(*names: str, places: tuple[str, ...], install: str) -> Path:
    """The directory that has all of the programs ``names``, so that they are of one version.

    It is the first one on PATH, or else the newest among ``places``, which are glob patterns of directories.
    Raises ``ServersMissing``, which tells to ``install`` what is missing.
    """
    for directory in [*map(Path, os.get_exec_path()), *_newest_first(places)]:
        if all(shutil.which(name, path=directory) for name in names):
            return directory.absolute()
    raise ServersMissing(
        f"No directory on PATH and none of {', '.join(places)} has {' and '.join(names)}: install {install}."
    )


def driver(name: str, install: str) -> ModuleType:
    """The DB-API module ``name``. Raises ``ServersMissing``, which tells to ``install`` it, if it is not to be had."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ServersMissing(f"The Python module {name} cannot be imported ({error}): pip install {install}") from error


def _newest_first(places: tuple[str, ...]) -> list[Path]:
    found = [directory for place in places for directory in Path("/").glob(place.removeprefix("/"))]
    return sorted(found, key=_version, reverse=True)


def _version(directory: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(directory))]
