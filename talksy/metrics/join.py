"""Many texts of Prometheus's as one."""

import re
from collections.abc import Mapping
from functools import partial

FAMILY = re.compile(rb"^# HELP (\S+) ", re.MULTILINE)
SAMPLE = re.compile(rb"^(\w+)(?:\{(.*)\})? ", re.MULTILINE)


def joined(label: str, texts: Mapping[int, bytes]) -> bytes:
    """The series of all ``texts``, told apart by ``label``, whose values are their keys.

    A family's series stand together, as the format demands it.
    """
    families: dict[bytes, list[bytes]] = {}
    for value, text in texts.items():
        mark = f'{label}="{value}"'.encode()
        _, *parts = FAMILY.split(text)
        for name, rest in zip(parts[::2], parts[1::2], strict=True):
            help_line, kind_line, series = rest.split(b"\n", 2)
            family = families.setdefault(
                name, [b"# HELP %b %b\n%b\n" % (name, help_line, kind_line)]
            )
            family.append(SAMPLE.sub(partial(_marked, mark), series))
    return b"".join(part for family in families.values() for part in family)


def _marked(mark: bytes, sample: re.Match[bytes]) -> bytes:
    name, labels = sample[1], sample[2]
    return b"%b{%b} " % (name, b",".join(filter(None, (mark, labels))))
