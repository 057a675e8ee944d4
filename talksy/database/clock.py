"""The clock of the database: the only one that nodes which share it go by."""

import time
from typing import Any

from sqlalchemy import BigInteger, Connection, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement


class now_ms(ColumnElement[int]):  # noqa: N801 - it stands where SQL has a function
    """Milliseconds since the epoch, at the moment at which the statement is carried out."""

    type = BigInteger()
    inherit_cache = True


class Clock:
    """Milliseconds since the epoch: by the database's clock once it has learned that, and before by
    the machine's. In between it goes by a clock that nobody sets.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None
        """Milliseconds from the clock that nobody sets to the database's."""

    def __call__(self) -> int:
        if self._ahead is None:
            return time.time_ns() // 1_000_000
        return int(_steady_ms() + self._ahead)

    def learn(self, connection: Connection) -> None:
        """Asks the database. Where what it says may be due to the time the answer took, all stays
        as it was: so the clock does not tremble, and one slow answer does not put it wrong.
        """
        asked = _steady_ms()
        theirs = connection.execute(select(now_ms())).scalar_one()
        least, most = theirs - _steady_ms(), theirs + 1 - asked
        known = (least + most) / 2 if self._ahead is None else self._ahead
        self._ahead = min(max(known, least), most)


def _steady_ms() -> float:
    return time.monotonic() * 1000


@compiles(now_ms, "sqlite")
def _sqlite(_element: now_ms, _compiler: Any, **_: Any) -> str:
    # 2440587.5 is the Julian day of the epoch.
    return "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql(_element: now_ms, _compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
