"""Arguments: what a JSON schema accepts, taken from the conversation where it fits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.schemas import Facts, value_for

FACTS = Facts(["My order 12345 and invoice INV-777 came on 2026-03-04, mail bob@example.org"])


def schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("name", "described", "value"),
    [
        ("order_id", {"type": "string"}, "12345"),
        ("orderId", {"type": "string"}, "12345"),
        ("order_id", {"type": "integer"}, 12345),
        ("invoice_number", {"type": "string"}, "INV-777"),
        ("email", {"type": "string"}, "bob@example.org"),
        ("delivered", {"type": "string", "format": "date"}, "2026-03-04"),
        ("at", {"type": "string", "format": "date-time"}, "2026-03-04T12:00:00Z"),
        ("kind", {"enum": ["refund", "invoice"]}, "invoice"),
        ("unit", {"const": "EUR"}, "EUR"),
        ("note", {"type": "string", "maxLength": 8}, "My order"),
        ("gone", {"type": "null"}, None),
        ("order_id", {"anyOf": [{"type": "null"}, {"type": "string"}]}, "12345"),
        ("order_id", {"type": ["string", "null"]}, "12345"),
        ("order_ids", {"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["12345"]),
    ],
)
def test_values_come_from_the_conversation(name: str, described: Any, value: Any) -> None:
    """A property is filled with what the user mentioned near its name, in its type."""
    assert value_for(schema({name: described}), FACTS, Draws(0)) == {name: value}


def test_parallel_calls_take_different_values() -> None:
    """Two orders in the question: the first call looks up one, the second the other."""
    facts = Facts(["Compare order 12345 with order 67890"])
    wanted = schema({"order_id": {"type": "string"}})

    drawn = [value_for(wanted, facts, Draws(0), nth=nth) for nth in range(2)]

    assert drawn == [{"order_id": "12345"}, {"order_id": "67890"}]


def test_the_newest_message_is_asked_first() -> None:
    """An older order number is taken only if the newest text has none."""
    wanted = schema({"order_id": {"type": "string"}})

    assert value_for(wanted, Facts(["and 222?", "order 111"]), Draws(0)) == {"order_id": "222"}
    assert value_for(wanted, Facts(["thanks", "order 111"]), Draws(0)) == {"order_id": "111"}


def test_references_and_compositions_are_followed() -> None:
    """$ref, allOf and nested objects give what they describe together."""
    wanted = {
        "$defs": {
            "Address": schema({"zip_code": {"type": "string"}}),
            "Base": schema({"active": {"type": "boolean"}}),
        },
        "allOf": [{"$ref": "#/$defs/Base"}, schema({"address": {"$ref": "#/$defs/Address"}})],
    }

    value = value_for(wanted, Facts(["zip code 80331"]), Draws(0))

    assert value == {"active": value["active"], "address": {"zip_code": "80331"}}
    assert isinstance(value["active"], bool)


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    """A tree of trees is cut off instead of filled for ever."""
    tree = schema({"name": {"type": "string"}})
    tree["properties"]["children"] = {"type": "array", "items": {"$ref": "#"}}
    tree["required"] = ["name", "children"]

    value = value_for(tree, FACTS, Draws(0))

    assert value["children"][0]["name"]
    assert len(json.dumps(value)) < 10_000


@given(
    low=st.integers(-(10**6), 10**6),
    width=st.integers(0, 10**4),
    step=st.sampled_from([None, 1, 2, 5]),
    seed=st.integers(0, 1_000),
    exclusive=st.booleans(),
)
def test_integers_keep_their_limits(
    low: int, width: int, step: int | None, seed: int, exclusive: bool
) -> None:
    """Minimum and maximum, inclusive or exclusive, hold; a multiple is one where one fits."""
    high = low + width + 12
    described: dict[str, Any] = {"type": "integer"}
    described |= (
        {"exclusiveMinimum": low, "exclusiveMaximum": high}
        if exclusive
        else {"minimum": low, "maximum": high}
    )
    if step:
        described["multipleOf"] = step

    value = value_for(described, FACTS, Draws(seed), "count")

    assert isinstance(value, int)
    assert low + exclusive <= value <= high - exclusive
    assert value % (step or 1) == 0


@given(
    least=st.integers(0, 60),
    extra=st.integers(0, 60),
    text=st.text(max_size=80),
    seed=st.integers(),
)
def test_strings_and_arrays_keep_their_lengths(
    least: int, extra: int, text: str, seed: int
) -> None:
    """minLength and maxLength, minItems and maxItems hold for any conversation."""
    string = {"type": "string", "minLength": least, "maxLength": least + extra}
    items = {"type": "array", "minItems": least % 9, "maxItems": least % 9 + 1, "items": string}

    values = value_for(items, Facts([text]), Draws(seed), "note")

    assert least % 9 <= len(values) <= least % 9 + 1
    assert all(least <= len(value) <= least + extra for value in values)


@pytest.mark.parametrize(
    ("described", "part"),
    [
        ({"type": "string", "minLength": 10**9}, "more than 100000 characters"),
        ({"type": "array", "minItems": 10**9}, "more than 10000 values"),
        ({"type": "array", "minItems": 200, "items": {"type": "array", "minItems": 200}}, "values"),
    ],
)
def test_a_schema_that_demands_too_much_is_refused(described: Any, part: str) -> None:
    """An answer has a size that a server can afford."""
    with pytest.raises(ValueError, match=part):
        value_for(described, FACTS, Draws(0))
