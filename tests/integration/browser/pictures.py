"""Pictures of the page that say what they were made from, so that one that is out of date is found."""

import struct
import zlib
from hashlib import sha256
from pathlib import Path

from tests.boards import PROJECT

PICTURE = PROJECT / "board.png"

# What the page looks like and says may depend on each of these.
SOURCES = ("*.py", "*.css", "*.js", "*.html", "*.svg")

KEYWORD = b"Source"
END = b"IEND"


def sources() -> str:
    """A digest of the files that the page is made from, as they are now."""
    found = sorted(path for kind in SOURCES for path in (PROJECT / "board").rglob(kind))
    return sha256(b"".join(path.read_bytes() for path in found)).hexdigest()


def save(picture: bytes, path: Path) -> None:
    """Write the PNG ``picture``, with the digest as a text in it: https://www.w3.org/TR/png/#11tEXt."""
    content = KEYWORD + b"\0" + sources().encode()
    chunk = struct.pack(">I", len(content)) + b"tEXt" + content + struct.pack(">I", zlib.crc32(b"tEXt" + content))
    end = picture.rindex(END) - 4
    path.write_bytes(picture[:end] + chunk + picture[end:])


def sources_of(path: Path) -> str:
    """The digest in the picture; empty if there is none."""
    _, _, rest = path.read_bytes().partition(b"tEXt" + KEYWORD + b"\0")
    return rest[: len(sources())].decode(errors="replace")
