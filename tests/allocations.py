"""How many times CPython allocates memory while something is called."""

import ctypes
import gc
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from servers import ServersMissing

SOURCE = Path(__file__).with_suffix(".c")


class AllocationCounter:
    """Counts what is allocated, also what is freed at once. Its library is compiled into ``folder`` when it is needed.

    Raises ``ServersMissing`` then, if there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self, call: Callable[[], Any]) -> int:
        """How many times memory is allocated or resized for ``call()``, which is called once."""
        library = self._library
        outer = sys.gettrace()
        sys.settrace(None)  # Coverage allocates for each line that it sees.
        gc.collect()
        gc.disable()
        library.begin()
        try:
            call()
        finally:
            allocations: int = library.end()
            gc.enable()
            sys.settrace(outer)
        return allocations

    @cached_property
    def _library(self) -> ctypes.PyDLL:
        compiled = self._folder / "allocations.so"
        try:
            subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(compiled), str(SOURCE)], check=True)
        except FileNotFoundError:
            raise ServersMissing("there is no C compiler (Debian and Ubuntu: apt install gcc)") from None
        library = ctypes.PyDLL(str(compiled))
        library.end.restype = ctypes.c_size_t
        return library
