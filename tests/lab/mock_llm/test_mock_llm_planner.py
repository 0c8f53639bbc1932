"""The planner: from a history alone, tool calls or text, and never without an end."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from agentscope.lab.mock_llm.conversation import Conversation, read_conversation
from agentscope.lab.mock_llm.dialects.chat_requests import decode_request
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.errors import ApiError
from agentscope.lab.mock_llm.knobs import Behaviour, apply_knobs
from agentscope.lab.mock_llm.planner import plan_answer

MAX_ROUNDS = 8
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("lookup_order", "refund", "search")
]


def user(text: str, **more: str) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def calls(*ids: str) -> dict[str, Any]:
    made = [{"id": i, "type": "function", "function": {"name": "f", "arguments": ""}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(call_id: str, content: str = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def read(messages: list[dict[str, Any]]) -> Conversation:
    body = json.dumps({"model": "m", "messages": messages}).encode()
    return read_conversation(decode_request(body).messages)


def planned(messages: list[dict[str, Any]], knobs: str = "depth=1;calls=1", **request: Any) -> int:
    """How many tool calls come next."""
    body = json.dumps({"model": "m", "messages": messages, "tools": TOOLS, **request})
    decoded = decode_request(body.encode())
    conversation = read_conversation(decoded.messages)
    turn = Draws(0, *conversation.user_texts)
    behaviour = apply_knobs(knobs, Behaviour())
    return len(plan_answer(decoded, conversation, behaviour, turn, MAX_ROUNDS).calls)


def test_rounds_are_counted_from_the_last_thing_a_user_said() -> None:
    """Earlier turns do not count; parallel calls are one round."""
    history = [
        user("first"), calls("a"), result("a"), said("answer"),
        user("second"), calls("b", "c", "d"), result("b"), result("c"), result("d", "last"),
    ]  # fmt: skip

    assert read(history) == Conversation(
        user_texts=("first", "second"),
        rounds=1,
        unbroken_rounds=1,
        results=("done", "done", "last"),
    )


@pytest.mark.parametrize(
    "reminder",
    [
        {"role": "system", "content": "Answer briefly."},
        {"role": "developer", "content": "Answer briefly."},
        user("<system-reminder>Answer briefly.</system-reminder>"),
        user("Answer briefly.", name="reminder"),
        user("Answer briefly."),
    ],
)
def test_a_reminder_after_a_tools_result_does_not_restart_the_count(
    reminder: dict[str, Any],
) -> None:
    """Flagged by role, by name, by tag, or not at all: the turn goes on to its answer."""
    history = [user("Where is it?"), calls("a"), result("a"), reminder]

    assert read(history).rounds == 1
    assert read(history).user_texts == ("Where is it?",)
    assert planned(history) == 0


def test_what_stands_beside_a_reminder_is_still_said() -> None:
    """Only the reminder is taken out of a message that holds a question too."""
    history = [user("<system-reminder>Be kind.</system-reminder>\nWhere is it?")]

    assert read(history).user_texts == ("Where is it?",)


def test_tools_are_called_until_the_turn_has_its_rounds() -> None:
    """Two rounds asked for: call, call, text; and again in the next turn."""
    history = [user("Where is it?")]
    shape = []
    for turn in range(2):
        for step in range(3):
            count = planned(history, "depth=2;calls=1")
            shape.append(count)
            if count:
                history += [calls(f"{turn}{step}"), result(f"{turn}{step}")]
        history += [said("There."), user("And the other?")]

    assert shape == [1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("request_part", "expected"),
    [
        ({}, 3),
        ({"tool_choice": "auto"}, 3),
        ({"parallel_tool_calls": False}, 1),
        ({"tool_choice": "none"}, 0),
        ({"tools": []}, 0),
        ({"tools": None}, 0),
        ({"tool_choice": {"type": "function", "function": {"name": "refund"}}}, 1),
    ],
)
def test_the_request_decides_what_may_be_called(
    request_part: dict[str, Any], expected: int
) -> None:
    """No tools, ``none``, a named one, and no parallel calls are all respected."""
    assert planned([user("Hi")], "depth=1;calls=3", **request_part) == expected


def test_a_forced_choice_calls_where_the_draw_would_not() -> None:
    """``required`` and a named function call a tool even at depth 0, up to the cap."""
    named = {"type": "function", "function": {"name": "search"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    for choice in ("required", named, allowed):
        assert planned([user("Hi")], "depth=0;calls=1", tool_choice=choice) == 1

    history = [user("Hi")]
    for number in range(MAX_ROUNDS):
        history += [calls(str(number)), result(str(number))]
    assert planned(history, "depth=0;calls=1", tool_choice="required") == 0


def test_three_hundred_conversations_of_three_turns_all_come_to_an_end() -> None:
    """Any mixture of reminders, parallel results and system messages ends below the cap."""
    chance = random.Random(7)
    knobs = "depth=0:1,1:1,2:1,9:1,64:1;calls=1:1,3:1"
    for number in range(300):
        history: list[dict[str, Any]] = [{"role": "system", "content": "You help."}]
        for turn in range(3):
            history.append(user(f"conversation {number} turn {turn}"))
            rounds = 0
            while count := planned(history, knobs):
                rounds += 1
                assert rounds <= MAX_ROUNDS
                ids = [f"{turn}-{rounds}-{i}" for i in range(count)]
                history += [calls(*ids), *(result(i) for i in ids)]
                if chance.random() < 0.5:
                    history.append(
                        chance.choice([user("go on"), {"role": "system", "content": ""}])
                    )
            history.append(said("done"))


def test_depths_follow_the_distribution_that_was_asked_for() -> None:
    """2 000 turns at 0:0.3,1:0.5,2:0.2: Pearson's χ² stays below its 99.9 % point."""
    behaviour = apply_knobs("depth=0:0.3,1:0.5,2:0.2", Behaviour())
    seen = [0, 0, 0]
    for number in range(2_000):
        seen[Draws(1, f"conversation {number}").choose("depth", behaviour.depth)] += 1

    expected = [600, 1_000, 400]
    assert sum((s - e) ** 2 / e for s, e in zip(seen, expected, strict=True)) < 13.8


def test_the_same_conversation_is_planned_the_same_way_every_time() -> None:
    """A plan is a function of seed and text: a system prompt with a clock does not change it."""
    behaviour = Behaviour()

    def names(number: int, clock: str) -> list[str]:
        messages = [{"role": "system", "content": f"It is {clock}."}, user(f"question {number}")]
        body = json.dumps({"model": "m", "messages": messages, "tools": TOOLS}).encode()
        request = decode_request(body)
        conversation = read_conversation(request.messages)
        turn = Draws(0, *conversation.user_texts)
        plan = plan_answer(request, conversation, behaviour, turn, MAX_ROUNDS)
        return [function.name for function in plan.calls]

    first = [names(number, "noon") for number in range(50)]

    assert first == [names(number, "midnight") for number in range(50)]
    assert len({tuple(plan) for plan in first}) > 3


def test_tools_are_chosen_by_weight_and_each_once_before_any_twice() -> None:
    """A weight of 0 is never first; three parallel calls of three tools are all of them."""
    body = json.dumps({"model": "m", "messages": [user("Hi")], "tools": TOOLS}).encode()
    request = decode_request(body)
    conversation = read_conversation(request.messages)
    one = apply_knobs("depth=1;calls=1;tools=refund:0,search:9", Behaviour())
    firsts = [
        plan_answer(request, conversation, one, Draws(number), 8).calls[0].name
        for number in range(200)
    ]
    three = apply_knobs("depth=1;calls=3", Behaviour())
    together = plan_answer(request, conversation, three, Draws(0), 8).calls

    assert "refund" not in firsts
    assert firsts.count("search") > 150
    assert {function.name for function in together} == {"lookup_order", "refund", "search"}


@pytest.mark.parametrize(
    ("messages", "part"),
    [
        ([], "empty array"),
        ([{"role": "wizard", "content": "x"}], "Invalid value: 'wizard'"),
        ([{"role": "user", "content": 5}], "Expected `str | array | null`"),
        ([user("x"), result("a")], "must be a response to a preceding message"),
        ([user("x"), calls("a", "b"), result("a")], "did not have response messages: b"),
        ([user("x"), calls("a"), user("y")], "did not have response messages: a"),
    ],
)
def test_histories_that_openai_refuses_are_refused(messages: list[Any], part: str) -> None:
    """An agent that forgets a tool's result learns it here, not in production."""
    body = json.dumps({"model": "m", "messages": messages}).encode()

    with pytest.raises(ApiError) as caught:
        decode_request(body)

    assert caught.value.status == 400
    assert part in caught.value.message
