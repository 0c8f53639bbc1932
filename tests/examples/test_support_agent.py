from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import pytest

LATE = "Where is my order #12346?"
ORDER = ("call_1", "lookup_order", '{"order_id": "12346"}')


def events_of(text: str) -> list[tuple[str, Any]]:
    """The named events of a stream."""
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data[6:])) for name, data in blocks]


def stored(service: Any, session_id: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = asyncio.run(service.stored(session_id))
    return messages


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str | None, *calls: tuple[str, str, str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in calls
        ]
    return message


def tool(call_id: str, **content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": json.dumps(content)}


FOUND_ORDER = {
    "found": True,
    "id": "12346",
    "status": "delivered",
    "item": "standing desk",
    "total_cents": 38400,
    "ordered_on": "2026-02-20",
    "arrives_on": "2026-02-26",
    "customer_email": "test@example.com",
}


def test_three_turns_are_stored_as_the_model_must_see_them(
    service: Any, model: Any, step: Any
) -> None:
    """Each turn is answered, stored whole, and is history for the next in the protocol's order."""
    model.says("Hello", step("Hi, what can I do?"))
    model.says(LATE, step(calls=[ORDER]), step("It was delivered on 26 February."))
    model.says("Thanks", step("You are welcome."))
    session_id = service.open_session()

    answers = [service.say(session_id, text).json() for text in ("Hello", LATE, "Thanks")]

    assert answers == [
        {"response": "Hi, what can I do?", "turn": 1, "tool_calls": 0},
        {"response": "It was delivered on 26 February.", "turn": 2, "tool_calls": 1},
        {"response": "You are welcome.", "turn": 3, "tool_calls": 0},
    ]
    conversation = [
        user("Hello"),
        assistant("Hi, what can I do?"),
        user(LATE),
        assistant(None, ORDER),
        tool("call_1", **FOUND_ORDER),
        assistant("It was delivered on 26 February."),
        user("Thanks"),
        assistant("You are welcome."),
    ]
    assert stored(service, session_id) == conversation
    system, *seen = model.requests[-1]["messages"]
    assert system["role"] == "system"
    assert seen == conversation[:-1]
    assert model.requests[-1]["model"] == "gpt-4o-mini"
    offered = [each["function"]["name"] for each in model.requests[-1]["tools"]]
    assert offered == ["lookup_order", "get_customer", "search_help_articles"]


def test_every_tool_answers_from_the_database(service: Any, model: Any, step: Any) -> None:
    """Orders, customers and articles are looked up; what is not there is said to be not there."""
    calls = [
        ("a", "get_customer", '{"email": "Test@Example.com"}'),
        ("b", "get_customer", '{"email": "nobody@example.com"}'),
        ("c", "lookup_order", '{"order_id": "#12345"}'),
        ("d", "lookup_order", '{"order_id": "1"}'),
        ("e", "search_help_articles", '{"question": "What are your opening hours?"}'),
        ("f", "search_help_articles", '{"question": "zzz"}'),
    ]
    model.says("Everything", step(calls=calls), step("Done."))
    session_id = service.open_session()
    assert service.say(session_id, "Everything").json()["tool_calls"] == 6

    told = {m["tool_call_id"]: json.loads(m["content"]) for m in stored(service, session_id)[2:-1]}
    assert list(told) == ["a", "b", "c", "d", "e", "f"]
    assert (told["a"]["name"], len(told["a"]["orders"])) == ("Tomas Ek", 3)
    assert told["c"]["id"] == "12345"
    assert told["b"] == told["d"] == {"found": False}
    assert told["e"]["articles"][0]["title"] == "Opening hours"
    assert told["f"] == {"articles": []}


def test_parallel_tool_calls_run_at_the_same_time(service: Any, model: Any, step: Any) -> None:
    """With the table locked, both calls are seen waiting for it at once."""
    calls = [(name, "lookup_order", '{"order_id": "12345"}') for name in ("a", "b")]
    model.says("Both", step(calls=calls), step("Done."))
    session_id = service.open_session()
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE '%FROM orders%'
    """

    async def watch(answer: Any) -> None:
        lock = await asyncpg.connect(service.dsn)
        watcher = await asyncpg.connect(service.dsn)
        try:
            async with lock.transaction():
                await lock.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
                talking = asyncio.get_running_loop().run_in_executor(None, answer)
                async with asyncio.timeout(20):
                    while await watcher.fetchval(waiting) < 2:
                        await asyncio.sleep(0.01)
            reply = await talking
            assert reply.json() == {"response": "Done.", "turn": 1, "tool_calls": 2}
        finally:
            await lock.close()
            await watcher.close()

    asyncio.run(watch(lambda: service.say(session_id, "Both")))


def test_a_stream_gives_tools_and_tokens_then_done(service: Any, model: Any, step: Any) -> None:
    """Asked for events, the turn tells of its tools and words as they come; the same is stored."""
    model.says(LATE, step("Let me see. ", [ORDER]), step("It has arrived."))
    session_id = service.open_session()

    answer = service.say(session_id, LATE, accept="text/event-stream")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events_of(answer.text) == [
        ("token", {"text": "Let "}),
        ("token", {"text": "me "}),
        ("token", {"text": "see. "}),
        ("tool", {"name": "lookup_order"}),
        ("token", {"text": "It "}),
        ("token", {"text": "has "}),
        ("token", {"text": "arrived."}),
        ("done", {"response": "It has arrived.", "turn": 1, "tool_calls": 1}),
    ]
    assert stored(service, session_id) == [
        user(LATE),
        assistant("Let me see. ", ORDER),
        tool("call_1", **FOUND_ORDER),
        assistant("It has arrived."),
    ]
    assert all(request["stream"] for request in model.requests)


def test_tokens_come_while_the_model_still_speaks(service: Any, model: Any, step: Any) -> None:
    """The first words are there before the model has said the last ones."""
    gate = threading.Event()
    model.says("Slowly", step("One two three", gate=gate))
    path = f"/api/sessions/{service.open_session()}/messages"
    body = {"content": "Slowly", "stream": True}
    with service.client() as client, client.stream("POST", path, json=body) as answer:
        lines = answer.iter_lines()
        assert [next(lines), next(lines)] == ["event: token", 'data: {"text": "One "}']
        gate.set()
        assert 'data: {"response": "One two three", "turn": 1, "tool_calls": 0}' in list(lines)


def test_what_is_not_there_is_404(service: Any, model: Any, step: Any) -> None:
    """Unknown and malformed sessions are a JSON 404, for messages, streams and deletion alike."""
    model.says("Hello", step("Hi."))
    gone = service.open_session()
    with service.client() as client:
        assert client.delete(f"/api/sessions/{gone}").status_code == 204
        deletion = client.delete(f"/api/sessions/{gone}")
    absent = "00000000-0000-4000-8000-000000000000"
    answers = [
        deletion,
        service.say(gone, "Hello"),
        service.say(absent, "Hello"),
        service.say("test", "Hello"),
        service.say(gone, "Hello", accept="text/event-stream"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert answers[2].json() == {
        "error": "unknown_session",
        "message": f"There is no session '{absent}'",
    }
    assert model.requests == []


@pytest.mark.parametrize(
    "body",
    [{}, {"message": ""}, {"message": "  "}, {"message": 7}, {"text": "Hello"}, [], {"content": None}],
)  # fmt: skip
def test_a_bad_message_is_422(service: Any, body: Any) -> None:
    """What is no message is refused before anything is done."""
    path = f"/api/sessions/{service.open_session()}/messages"
    with service.client() as client:
        assert client.post(path, json=body).status_code == 422


def test_a_bad_session_is_422(service: Any) -> None:
    """A user without a name, or with one that no database takes, cannot open a session."""
    with service.client() as client:
        for body in ({}, {"user_id": ""}, {"user_id": "a\x00b"}, {"user_id": "x" * 201}):
            assert client.post("/api/sessions", json=body).status_code == 422


def test_it_says_that_it_is_well(service: Any) -> None:
    """The health check needs neither the model nor a connection."""
    with service.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_an_exhausted_rate_limit_is_503(service: Any, model: Any, step: Any, accept: str) -> None:
    """After the client's own retries the caller hears when to come back; the session is free."""
    limited = step(status=429, headers={"retry-after": "7", "retry-after-ms": "1"})
    model.says("Hello", limited)
    session_id = service.open_session()

    answer = service.say(session_id, "Hello", accept=accept)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json() == {
        "error": "rate_limited",
        "message": "The model's rate limit is used up, retry in 7 s",
    }
    assert len(model.requests) == 3
    model.says("Hello", step("Hi."))
    assert service.say(session_id, "Hello").json()["turn"] == 1


def test_a_rate_limit_in_mid_stream_is_an_error_event(service: Any, model: Any, step: Any) -> None:
    """When the status is sent, an event says how it ended; nothing of the turn is stored."""
    limited = step(status=429, headers={"retry-after": "7", "retry-after-ms": "1"})
    model.says(LATE, step(calls=[ORDER]), limited)
    session_id = service.open_session()

    answer = service.say(session_id, LATE, accept="text/event-stream")

    problem = {
        "error": "rate_limited",
        "message": "The model's rate limit is used up, retry in 7 s",
        "status": 503,
        "retry_after_s": 7,
    }
    assert events_of(answer.text) == [("tool", {"name": "lookup_order"}), ("error", problem)]
    assert stored(service, session_id) == []


def test_a_failing_model_is_502(service: Any, model: Any, step: Any) -> None:
    """Its errors, its silence and its broken streams are told as the model's, not as ours."""
    model.says("Refused", step(status=400))
    model.says("Silent", step(""))
    model.says("Cut", step("Half an answ", cut=True))
    session_id = service.open_session()
    for text, code in (("Refused", "model_failed"), ("Silent", "no_answer")):
        answer = service.say(session_id, text)
        assert (answer.status_code, answer.json()["error"]) == (502, code)
    *_, (name, problem) = events_of(service.say(session_id, "Cut", accept="text/event-stream").text)
    assert (name, problem["error"], problem["status"]) == ("error", "no_answer", 502)
    assert stored(service, session_id) == []


def test_the_models_mistakes_are_told_to_the_model(service: Any, model: Any, step: Any) -> None:
    """Unknown tools, arguments that are no JSON or do not fit: a tool message each, no crash."""
    calls = [
        ("a", "fly_to_the_moon", "{}"),
        ("b", "lookup_order", '{"order_id": '),
        ("c", "lookup_order", "{}"),
        ("d", "lookup_order", '{"order_id": "a\\u0000b"}'),
    ]
    model.says("Try", step(calls=calls), step("Sorry."))
    session_id = service.open_session()

    assert service.say(session_id, "Try").json()["response"] == "Sorry."

    told = {m["tool_call_id"]: json.loads(m["content"]) for m in stored(service, session_id)[2:-1]}
    assert told["a"] == {
        "error": "there is no tool 'fly_to_the_moon', "
        "only lookup_order, get_customer, search_help_articles"
    }
    assert told["b"]["error"].startswith("bad arguments for lookup_order: Invalid JSON")
    assert told["c"] == {"error": "bad arguments for lookup_order: order_id: Field required"}
    assert told["d"]["error"].startswith("bad arguments for lookup_order: invalid byte sequence")


def test_a_model_that_never_stops_asking_is_stopped(
    start_service: Any, model: Any, step: Any
) -> None:
    """After its rounds it is asked for words alone; tool calls even then end the turn."""
    model.says("Obeys", step(calls=[ORDER]), step(calls=[ORDER]), step("Enough."))
    model.says("Never", step(calls=[ORDER]))
    with start_service(SUPPORT_AGENT_MAX_ROUNDS="2") as service:
        session_id = service.open_session()
        assert service.say(session_id, "Obeys").json()["tool_calls"] == 2
        assert [r["tool_choice"] for r in model.requests] == ["auto", "auto", "none"]
        answer = service.say(session_id, "Never")
    assert (answer.status_code, answer.json()["error"]) == (502, "no_answer")
    assert len(model.requests) == 6


def test_sessions_do_not_mix(service: Any, model: Any, step: Any) -> None:
    """Turns of many sessions at once: each keeps its own messages."""
    for number in range(12):
        call = (f"call_{number}", "lookup_order", json.dumps({"order_id": str(12300 + number)}))
        model.says(f"First {number}", step(calls=[call]), step(f"One {number}"))
        model.says(f"Second {number}", step(f"Two {number}"))

    def talk(number: int) -> str:
        session_id: str = service.open_session()
        assert service.say(session_id, f"First {number}").status_code == 200
        assert service.say(session_id, f"Second {number}").status_code == 200
        return session_id

    with ThreadPoolExecutor(12) as callers:
        sessions = list(callers.map(talk, range(12)))
    for number, session_id in enumerate(sessions):
        messages = stored(service, session_id)
        assert [m["content"] for m in messages if m["role"] != "tool"] == [
            f"First {number}", None, f"One {number}", f"Second {number}", f"Two {number}",
        ]  # fmt: skip
        assert json.loads(messages[2]["content"])["id"] == str(12300 + number)


def test_a_session_has_one_turn_at_a_time(service: Any, model: Any, step: Any) -> None:
    """A message while another is being answered is refused at once, and the model is not asked."""
    gate = threading.Event()
    model.says("First", step("One.", gate=gate))
    model.says("Second", step("Two."))
    session_id = service.open_session()
    with ThreadPoolExecutor(1) as caller:
        first = caller.submit(service.say, session_id, "First")
        model.wait_until_asked("First")
        refused = [service.say(session_id, "Second", accept=kind)
                   for kind in ("application/json", "text/event-stream")]  # fmt: skip
        gate.set()
        assert first.result().json()["turn"] == 1
    assert [answer.status_code for answer in refused] == [409, 409]
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["error"] == "session_busy"
    assert len(model.requests) == 1
    assert service.say(session_id, "Second").json()["turn"] == 2


def test_a_caller_that_goes_away_frees_the_session(service: Any, model: Any, step: Any) -> None:
    """The turn of a broken-off stream is given up, not stored, and the next one can begin."""
    gate = threading.Event()
    model.says("Slowly", step("One two three", gate=gate))
    model.says("Again", step("Yes."))
    session_id = service.open_session()
    path = f"/api/sessions/{session_id}/messages"
    body = {"message": "Slowly", "stream": True}
    with service.client() as client, client.stream("POST", path, json=body) as answer:
        assert next(answer.iter_lines()) == "event: token"
    deadline = time.monotonic() + 10
    while (again := service.say(session_id, "Again")).status_code == 409:
        assert time.monotonic() < deadline
    gate.set()
    assert again.json() == {"response": "Yes.", "turn": 1, "tool_calls": 0}


def test_a_session_deleted_under_its_turn_is_404(service: Any, model: Any, step: Any) -> None:
    """The turn finds nothing to be stored in and says so."""
    gate = threading.Event()
    model.says("First", step("One.", gate=gate))
    session_id = service.open_session()
    with ThreadPoolExecutor(1) as caller, service.client() as client:
        first = caller.submit(service.say, session_id, "First")
        model.wait_until_asked("First")
        assert client.delete(f"/api/sessions/{session_id}").status_code == 204
        gate.set()
        assert first.result().status_code == 404


@pytest.mark.parametrize("held", ["0", "1"])
def test_only_a_held_connection_makes_turns_wait_for_each_other(
    start_service: Any, model: Any, step: Any, held: str
) -> None:
    """With one connection, two turns ask the model together; unless each keeps its connection."""
    gate = threading.Event()
    model.says("One", step(calls=[ORDER, ORDER]), step("1", gate=gate))
    model.says("Two", step("2"))
    variables = {"SUPPORT_AGENT_POOL_SIZE": "1", "SUPPORT_AGENT_HOLD_CONNECTION": held}
    with start_service(**variables) as service, ThreadPoolExecutor(2) as callers:
        sessions = [service.open_session(), service.open_session()]
        first = callers.submit(service.say, sessions[0], "One")
        model.wait_until_asked("One", times=2)
        second = callers.submit(service.say, sessions[1], "Two")
        if held == "0":
            assert second.result().json()["response"] == "2"
            gate.set()
        else:
            with pytest.raises(TimeoutError):
                second.result(0.5)
            assert len(model.requests) == 2
            gate.set()
            assert second.result().json()["response"] == "2"
        assert first.result().json() == {"response": "1", "turn": 1, "tool_calls": 2}


def test_scoring_in_the_process_finds_articles_too(
    start_service: Any, model: Any, step: Any
) -> None:
    """The slow way of ranking answers the same question, with three articles."""
    call = ("a", "search_help_articles", '{"question": "What are your opening hours?"}')
    model.says("Hours", step(calls=[call]), step("From 8 to 20."))
    with start_service(SUPPORT_AGENT_SYNC_SCORING="1") as service:
        session_id = service.open_session()
        assert service.say(session_id, "Hours").json()["response"] == "From 8 to 20."
        told = json.loads(stored(service, session_id)[2]["content"])
    assert len(told["articles"]) == 3
    assert told["articles"][0]["title"] == "Opening hours"


def test_a_model_that_cannot_be_reached_is_502(start_service: Any) -> None:
    """A refused connection is the model's failure."""
    with start_service(base_url="http://127.0.0.1:9/v1") as service:
        answer = service.say(service.open_session(), "Hello")
    assert (answer.status_code, answer.json()["error"]) == (502, "model_failed")


def test_it_holds_whole_conversations_with_the_mock_llm(start_service: Any) -> None:
    """Ten turns each in three sessions at once, tools and streams included, all of them answered."""
    from agentscope.lab.mock_llm import MockLlmSettings, running

    knobs = "profile=instant;out=12;depth=0:0.3,1:0.4,2:0.3;calls=1:0.5,3:0.5"
    with (
        running(MockLlmSettings(port=0, knobs=knobs)) as mock,
        start_service(base_url=mock.base_url) as service,
        ThreadPoolExecutor(3) as callers,
    ):

        def talk(number: int) -> list[httpx.Response]:
            session_id = service.open_session()
            kinds = ("application/json", "text/event-stream")
            return [
                service.say(session_id, f"Where is my order #{12345 + turn}?",
                            accept=kinds[(turn + number) % 2])
                for turn in range(10)
            ]  # fmt: skip

        answers = [answer for each in callers.map(talk, range(3)) for answer in each]
    assert [answer.status_code for answer in answers] == [200] * 30
    streams = [a.text for a in answers if a.headers["content-type"].startswith("text/event")]
    ended = [events_of(text)[-1] for text in streams]
    assert [name for name, _ in ended] == ["done"] * 15
    replies = [a.json() for a in answers if a.headers["content-type"] == "application/json"]
    replies += [reply for _, reply in ended]
    assert all(reply["response"] for reply in replies)
    assert sum(reply["tool_calls"] for reply in replies) > 0
