"""What nsys recorded of one rank, read from its SQLite export (docs.nvidia.com/nsight-systems, "SQLite schema")."""

import sqlite3
from collections import namedtuple

# Times in nanoseconds. `node` is None for a kernel that was launched by itself; those of one graph launch share its
# `correlation`.
Kernel = namedtuple("Kernel", "start end name node correlation device")
Transfer = namedtuple("Transfer", "start end device")
Range = namedtuple("Range", "start end name thread")
Call = namedtuple("Call", "start thread")

PUSH_POP = 59  # NVTX_EVENTS.eventType of a range that lies within one thread


class Trace:
    def __init__(self, path):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.tables = {name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        self.kernels = self._read(database, "CUPTI_ACTIVITY_KIND_KERNEL", Kernel,
                                  "SELECT k.start, k.end, s.value, k.graphNodeId, k.correlationId, k.deviceId "
                                  "FROM CUPTI_ACTIVITY_KIND_KERNEL k JOIN StringIds s ON s.id = k.demangledName "
                                  "ORDER BY k.start")
        self.transfers = []  # copies and memsets
        for table in ("CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_MEMSET"):
            self.transfers += self._read(database, table, Transfer, f"SELECT start, end, deviceId FROM {table} ORDER BY start")
        self.ranges = self._read(database, "NVTX_EVENTS", Range,
                                 "SELECT e.start, e.end, COALESCE(e.text, s.value), e.globalTid "
                                 "FROM NVTX_EVENTS e LEFT JOIN StringIds s ON s.id = e.textId "
                                 f"WHERE e.eventType = {PUSH_POP} AND e.end IS NOT NULL ORDER BY e.start")
        calls = self._read(database, "CUPTI_ACTIVITY_KIND_RUNTIME", None,
                           "SELECT correlationId, start, globalTid FROM CUPTI_ACTIVITY_KIND_RUNTIME")
        self.calls = {correlation: Call(start, thread) for correlation, start, thread in calls}
        database.close()

    # Tables are made only where there is something to put into them.
    def _read(self, database, table, row_type, query):
        if table not in self.tables:
            return []
        rows = database.execute(query).fetchall()
        return [row_type(*row) for row in rows] if row_type else rows
