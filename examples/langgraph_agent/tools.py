"""What the model may call: trains, the weather, and money in another currency."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

from langchain_core.tools import tool

City = Literal["Vienna", "Prague", "Berlin", "Paris", "Milan"]
Currency = Literal["EUR", "CZK", "CHF"]

LOOKUP_S = 0.02
"""What a look-up in a service of the same data centre takes."""

TRAINS: dict[frozenset[str], tuple[float, float]] = {
    frozenset({"Vienna", "Prague"}): (4.0, 39.0),
    frozenset({"Prague", "Berlin"}): (4.3, 44.0),
    frozenset({"Berlin", "Paris"}): (8.1, 99.0),
    frozenset({"Paris", "Milan"}): (7.2, 89.0),
    frozenset({"Milan", "Vienna"}): (9.6, 79.0),
}
"""Hours and euros between two cities, either way."""

WEATHER = {"Vienna": 18, "Prague": 16, "Berlin": 15, "Paris": 17, "Milan": 22}
"""Degrees Celsius."""

EUROS = {"EUR": 1.0, "CZK": 0.04, "CHF": 1.05}
"""Worth of one unit."""


@tool
async def find_train(origin: City, destination: City) -> dict[str, Any]:
    """Find the direct train between two cities: hours of travel and price in euros."""
    await asyncio.sleep(LOOKUP_S)
    found = TRAINS.get(frozenset({origin, destination}))
    if found is None:
        return {"found": False}
    return {"found": True, "hours": found[0], "price_eur": found[1]}


@tool
async def get_weather(city: City) -> dict[str, Any]:
    """Tell tomorrow's weather in a city."""
    await asyncio.sleep(LOOKUP_S)
    return {"celsius": WEATHER[city]}


@tool
def convert_money(amount: float, source: Currency, target: Currency) -> dict[str, Any]:
    """Convert an amount of money from one currency into another."""
    time.sleep(LOOKUP_S)  # a synchronous client: LangChain runs such a tool in a worker thread
    return {"amount": round(amount * EUROS[source] / EUROS[target], 2), "currency": target}


TOOLS = [find_train, get_weather, convert_money]
