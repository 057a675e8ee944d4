"""What every call finds loaded: a locked process can load no machine code."""

import importlib
import sys
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from talksy.tools import definition, function

EXTENSIONS = (
    "_asyncio _bisect _blake2 _bz2 _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp "
    "_codecs_kr _codecs_tw _contextvars _csv _datetime _decimal _elementtree _hashlib _heapq "
    "_interpreters _json _lsprof _lzma _md5 _multibytecodec _opcode _pickle _posixsubprocess "
    "_queue _random _sha1 _sha2 _sha256 _sha3 _sha512 _socket _statistics _struct _uuid "
    "_zoneinfo array audioop binascii cmath grp math mmap pyexpat select termios unicodedata "
    "zlib"
)
"""Parts of the standard library that may be files of machine code, by Python's build."""
MODULES = (
    "argparse asyncio base64 bisect bz2 calendar collections concurrent.futures copy csv "
    "dataclasses datetime decimal difflib email.utils encodings.idna encodings.latin_1 "
    "encodings.utf_16 enum fractions functools graphlib gzip hashlib heapq hmac html "
    "html.parser http.client io ipaddress itertools json locale logging lzma math numbers "
    "operator pathlib pickle pprint queue random re secrets shutil statistics string struct "
    "subprocess tempfile textwrap threading timeit traceback typing unicodedata urllib.parse "
    "urllib.request uuid xml.etree.ElementTree zipfile zlib zoneinfo"
)
"""What tools use often: found in memory, it takes no time."""
NAMES = ("BASIC", "Caller", "ToolDefinition", "FunctionTool", "tool")
"""What a module may import from ``talksy.tools`` in here."""


class _Kind(Enum):
    ONE = "one"


class _Part(BaseModel):
    kind: _Kind
    names: list[str] | None = None


def load() -> None:
    """Imports all of it, and makes a tool once, since pydantic imports some parts late."""
    for name in f"{EXTENSIONS} {MODULES}".split():
        # Which there are differs from version to version, and from build to build.
        with suppress(ImportError):
            importlib.import_module(name)
    package = sys.modules["talksy.tools"]
    for name in NAMES:
        setattr(package, name, getattr(function, name, getattr(definition, name, None)))
    function.SANDBOXED.set(True)
    made = function.tool(name="sample")(_sample)
    made.signature.bind({"part": {"kind": "one"}, "at": "2026-01-01T00:00:00Z", "size": 1})
    with suppress(Exception):
        made.check({"part": {"kind": "two"}})


def _sample(
    part: _Part,
    at: datetime,
    size: Annotated[int, Field(ge=0)] = 1,
    way: Literal["up", "down"] | None = None,
) -> dict[str, float]:
    """Has a bit of everything."""
    raise NotImplementedError(part, at, size, way)
