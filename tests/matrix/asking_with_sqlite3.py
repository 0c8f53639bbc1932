"""Three statements on a sqlite3 database in memory."""

from __future__ import annotations

import sqlite3


def ask() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)  # else BEGIN and COMMIT come too
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE messages (id int, body text)")
    cursor.executemany("INSERT INTO messages VALUES (?, ?)", [(1, "one"), (2, "two")])
    cursor.execute("SELECT body FROM messages").fetchall()
    connection.close()
