"""Signs of a database's pools: how full, who waits, who holds a connection and for how long."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope import conventions as c
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.signs.sign import MAX_NAMED, Sign, elsewhere, place_of, sign
from agentscope_analyzer.signs.waiting import waits
from agentscope_analyzer.wording import amount, number, seconds

MIN_HELD_RATIO = 5.0
"""A connection held this many times longer than a query takes is held across something else."""
MIN_PINNED_S = 0.05
"""A connection held this long during calls of a model is worth a finding."""
MIN_PINNED_SHARE = 0.3
"""And this share of all uses of its pool."""


def pools(facts: Facts) -> Iterator[Sign]:
    """Each pool: how full, how long a connection is held and for what, how many wait."""
    pinned = pinned_of(facts)
    yield from (_held(row, facts) for row in pinned[:MAX_NAMED])
    for pool in facts.pools:
        size, most, pending = pool["size_connections"], pool["used_most"], pool["pending_most"]
        name = f"pool {pool['pool']!r}" if pool["pool"] else "the pool"
        if size and most is not None:
            yield sign(
                f"most connections in use of {name}",
                most,
                "connections",
                "database/pools",
                limit=size,
                agrees=most >= size,
                says=f"all {number(size)} connections in use"
                if most >= size
                else f"at most {number(most)} of {number(size)} connections in use when sampled",
            )
        query_s = _query_mean(facts)
        if pool["use_mean_s"] and query_s and not any(p["pool"] == pool["pool"] for p in pinned):
            long = pool["use_mean_s"] >= MIN_HELD_RATIO * query_s
            yield sign(
                f"a connection of {name} is held",
                pool["use_mean_s"],
                "s",
                "database/pools",
                limit=query_s,
                agrees=long,
                says=f"a connection is held {seconds(pool['use_mean_s'])} although a query takes "
                f"{seconds(query_s)}"
                if long
                else f"a connection is held {seconds(pool['use_mean_s'])}",
            )
        if pending is not None:
            yield sign(
                f"most requests pending at {name}",
                pending,
                "requests",
                "database/pools",
                agrees=pending > 0,
                says=f"up to {number(pending)} requests pending"
                if pending
                else "no request was ever pending",
            )
    yield from waits(facts, "a database connection", c.Wait.DB_POOL, link="of ")


def queries(facts: Facts) -> Iterator[Sign]:
    """The statements that took most of the time."""
    for row in facts.queries[:MAX_NAMED]:
        name = row["summary"] or row["db_system"]
        yield sign(
            f"the statement {name!r}",
            row["mean_s"],
            "s",
            "database/queries",
            agrees=False,
            says=f"{name!r} takes {seconds(row['mean_s'])} ({amount(row['queries'], 'statement')})"
            f"{elsewhere('db.query', row['mean_s'] * row['queries'], facts)}",
        )


def pinned_of(facts: Facts) -> list[Row]:
    """Lines that hold a connection while a model answers, the longest in all first."""
    found = []
    for row in facts.held:
        uses = next((pool["uses"] for pool in facts.pools if pool["pool"] == row["pool"]), None)
        often = not uses or row["holds"] >= MIN_PINNED_SHARE * uses
        if often and row["model_s"] >= max(MIN_PINNED_S, MIN_PINNED_SHARE * row["held_s"]):
            found.append(row)
    return found


def _held(row: Row, facts: Facts) -> Sign:
    query_s, where = _query_mean(facts), place_of(row)
    name = f"of pool {row['pool']!r}" if row["pool"] else "of the pool"
    says = (
        f"a connection {name} is held {seconds(row['held_s'])}, {seconds(row['model_s'])} of them "
    )
    says += "during calls of the model"
    if query_s:
        says += f", though a query takes {seconds(query_s)}"
    return sign(
        f"a connection {name} held during calls of the model",
        row["model_s"],
        "s",
        "database/held",
        limit=query_s,
        agrees=True,
        says=f"{says} (held at {where})" if where else says,
    )


def _query_mean(facts: Facts) -> float | None:
    queries = sum(row["queries"] for row in facts.queries)
    return sum(row["wall_s"] for row in facts.queries) / queries if queries else None
