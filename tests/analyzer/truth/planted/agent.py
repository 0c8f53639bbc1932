"""The code of the agent in one process: a turn loads context, asks a model, runs tools, answers.

It awaits what real code awaits, on the event loop of its process; each wait is noted twice: with its
true reason (``Strand.truth``), and as the recorder would see it (``Seen``).
"""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from planted.clockwork import Event, Places
from planted.design import Tool
from planted.process import Process, Strand, Stretch
from planted.provider import Answer
from planted.seen import Seen
from planted.turns import Turn, serve

from agentscope import conventions as c

if TYPE_CHECKING:
    from planted.service import Service

PIECES = 8
"""Chunks that the simulation tells apart in a streamed answer."""


class Failed(Exception):
    """The model could not be asked."""


class Agent:
    """The code of one process."""

    def __init__(self, service: Service, process: Process, seen: Seen) -> None:
        self.service, self.process, self.seen = service, process, seen
        design = service.design
        self.db_pool = Places(service.world, design.db_pool)
        self.http_pool = Places(service.world, design.http_pool)
        self.lock = Places(service.world, 1)
        self.db_uses = 0
        self.db_held_s = 0.0

    def _takes(self, median_s: float, spread: float) -> float:
        return median_s * math.exp(self.service.draw.gauss(0, spread))

    async def turn(
        self, session: str, number: int, user: int, trace_id: str, parent: str = "",
        told: list[Turn] | None = None,
    ) -> bool:  # fmt: skip
        """One turn of a session."""
        service, design, draw, world = (
            self.service,
            self.service.design,
            self.service.draw,
            self.service.world,
        )
        start_s = world.now_s
        strand = Strand(self.process, trace_id, self.seen.id())
        ok = True
        sent = (world.now_s, 0.0)
        heavy = draw.random() < design.heavy
        try:
            await strand.work(design.own_s)
            if draw.random() < design.blocking:
                await strand.work(design.blocking_s * draw.uniform(0.5, 1.5), "runtime.event_loop")
            await self._load(strand)
            if design.lock_s:
                await self._exclusive(strand)
            await self._reason(strand, session, number, heavy)
            await self._statement(strand, "INSERT messages")
            await strand.work(design.own_s)
            sent = await self._send(strand, user)
        except Failed:
            ok = False
            sent = (world.now_s, 0.0)
        serve(self.seen, strand, parent, session, start_s, *sent, ok)
        turn = Turn(strand.span_id, session, start_s, world.now_s, strand.truth, ok, self.process)
        if told is None:
            service.turns.append(turn)
        else:
            told.append(turn)
        return ok

    async def _load(self, turn: Strand) -> None:
        seen, start_s = self.seen, self.service.world.now_s
        strand = turn.below(seen.id(), "context.load")
        await self._statement(strand, "SELECT messages")
        if self.service.design.context_s:
            await strand.wait(
                self.service.world.after(self._takes(self.service.design.context_s, 0.3)),
                "context.load",
            )
        await strand.work(self.service.design.own_s)
        if seen.detailed:
            seen.write(
                turn.trace_id, "load_conversation", start_s, {c.PHASE: "context_load"},
                turn.span_id, strand.span_id,
            )  # fmt: skip

    async def _exclusive(self, turn: Strand) -> None:
        start_s = self.service.world.now_s
        await turn.wait(self.lock.take(), "wait.lock")
        self.seen.wait(turn.trace_id, turn.span_id, c.Wait.LOCK, "refresh (index.py:31)", start_s)
        # What is done under the lock is a database statement, as often in life.
        try:
            await self._statement(turn, "UPDATE index", self.service.design.lock_s)
        finally:
            self.lock.give()

    async def _statement(self, strand: Strand, summary: str, takes_s: float | None = None) -> None:
        """A connection from the pool, a statement on it, and back."""
        service, design, seen = self.service, self.service.design, self.seen
        world = service.world
        start_s = world.now_s
        await strand.wait(self.db_pool.take(), "db.pool")
        seen.wait(strand.trace_id, strand.span_id, c.Wait.DB_POOL, "main", start_s)
        held_from_s = began_s = world.now_s
        median_s = design.query_s if takes_s is None else takes_s
        await strand.wait(world.begin(self._work_of_database(median_s)), "db.query")
        attributes = {
            c.DB_SYSTEM: "postgresql",
            c.DB_QUERY_SUMMARY: summary,
            c.DB_OPERATION: summary.split()[0],
        }
        if seen.detailed:
            attributes[c.DB_POOL_NAME] = "main"
        seen.write(strand.trace_id, summary, began_s, attributes, strand.span_id, "", "CLIENT")
        if design.held_s and takes_s is None:
            await strand.wait(world.after(self._takes(design.held_s, 0.3)), strand.own)
            if seen.detailed:
                held = {c.RUNTIME_EVENT: "connection_held", c.DB_POOL_NAME: "main",
                        c.DB_BUSY: world.now_s - began_s - design.held_s}  # fmt: skip
                seen.write(strand.trace_id, "db.connection.held", held_from_s, held, strand.span_id)
        self.db_pool.give()
        self.db_uses += 1
        self.db_held_s += world.now_s - held_from_s

    async def _work_of_database(self, median_s: float) -> None:
        service = self.service
        await service.database.take()
        await service.world.after(self._takes(median_s, service.design.query_spread))
        service.database.give()

    async def _reason(self, turn: Strand, session: str, number: int, heavy: bool) -> None:
        """The model and tools in turn, until the model has its answer."""
        design, draw = self.service.design, self.service.draw
        if heavy:
            await self._research(turn, session, number)
            return
        rounds = draw.randint(*design.calls)
        for i in range(rounds):
            last = i == rounds - 1
            tokens = draw.randint(*design.output_tokens)
            await self._ask(
                turn, session, number, tokens * (2 if last else 1), design.streamed and last
            )
            if not last and design.tools:
                await self._tools(turn)

    async def _research(self, turn: Strand, session: str, number: int) -> None:
        """A look at the question, several answers in parallel, one more call about them."""
        design, draw = self.service.design, self.service.draw
        await self._ask(turn, session, number, draw.randint(*design.output_tokens), False)
        if design.tools:
            await self._tools(turn)
        await self._beside(
            turn,
            [
                lambda strand: self._ask(
                    strand, session, number, draw.randint(*design.heavy_output), False
                )
                for _ in range(design.heavy_calls - 2)
            ],
        )
        await self._ask(turn, session, number, draw.randint(*design.output_tokens), design.streamed)

    async def _beside(self, turn: Strand, parts: list[Any]) -> None:
        """Run parts at the same time; the turn's time is that of the one that ends last."""
        strands = [turn.beside(turn.span_id) for _ in parts]
        ends = [
            self.process.begin(_whole(part(s), s)) for part, s in zip(parts, strands, strict=True)
        ]
        start_s, task = self.service.world.now_s, self.process.task
        assert task is not None
        failure = None
        for end in ends:
            failure = (await end) or failure
        last = max(strands, key=lambda s: s.truth[-1].end_s if s.truth else start_s)
        at_s = last.truth[0].start_s
        process = self.process
        turn.truth.append(Stretch(process, "runtime.event_loop", start_s, at_s))
        turn.truth.extend(last.truth)
        ended_s = last.truth[-1].end_s
        resumed_s = max(task.resumed_s, ended_s)
        turn.truth.append(Stretch(process, "runtime.event_loop", ended_s, resumed_s))
        turn.truth.append(Stretch(process, turn.own, resumed_s, turn.now_s, process.step_cost_s))
        if failure is not None:
            raise failure

    async def _tools(self, turn: Strand) -> None:
        design, draw = self.service.design, self.service.draw
        picked = [draw.choice(design.tools) for _ in range(draw.randint(*design.tools_a_round))]
        if design.parallel and len(picked) > 1:
            await self._beside(
                turn, [(lambda s, tool=tool: self._tool(s, tool)) for tool in picked]
            )
        else:
            for tool in picked:
                await self._tool(turn, tool)

    async def _tool(self, turn: Strand, tool: Tool) -> None:
        seen, world = self.seen, self.service.world
        start_s = world.now_s
        strand = turn.below(seen.id(), "tool.execution")
        await strand.work(self.service.design.own_s)
        takes_s = self._takes(tool.takes_s, tool.spread)
        if tool.kind == "database":
            await self._statement(strand, f"SELECT {tool.name}", tool.takes_s)
        elif tool.kind == "http":
            call_s = world.now_s
            await strand.wait(world.after(takes_s), "http.upstream")
            attributes = {c.HTTP_REQUEST_METHOD: "GET", c.HTTP_STATUS_CODE: 200,
                          c.SERVER_ADDRESS: f"{tool.name}.internal"}  # fmt: skip
            seen.write(strand.trace_id, "GET", call_s, attributes, strand.span_id, "", "CLIENT")
        elif tool.kind in ("thread", "thread_cpu"):
            await self._in_thread(strand, takes_s, tool.kind == "thread_cpu")
        else:
            await strand.wait(world.after(takes_s), "tool.execution")
        name = f"execute_tool {tool.name}"
        attributes = {c.OPERATION_NAME: "execute_tool", c.TOOL_NAME: tool.name}
        seen.write(turn.trace_id, name, start_s, attributes, turn.span_id, strand.span_id)

    async def _in_thread(self, strand: Strand, takes_s: float, computes: bool) -> None:
        world, process = self.service.world, self.process
        asked_s = world.now_s
        free = process.threads.take()
        began: list[float] = []

        async def there() -> None:
            await free
            began.append(world.now_s)
            self.seen.wait(strand.trace_id, strand.span_id, c.Wait.THREADPOOL, "anyio", asked_s)
            if computes:
                computed = Event()
                process.interpreter.compute(takes_s, lambda: computed.happen(world.now_s))
                await computed
                self.service.competed_s += world.now_s - began[0] - takes_s
            else:
                await world.after(takes_s)
            process.threads.give()

        cause = "runtime.cpu" if computes else "tool.execution"
        i = len(strand.truth)
        await strand.wait(world.begin(there()), cause)
        whole = strand.truth[i]
        strand.truth[i : i + 1] = [
            Stretch(process, "runtime.threadpool", whole.start_s, began[0]),
            Stretch(process, cause, began[0], whole.end_s),
        ]

    async def _ask(
        self, turn: Strand, session: str, number: int, output_tokens: int, streamed: bool
    ) -> None:
        """The phase, the inference in it, its attempts and the sleeps between them."""
        service, design, seen = self.service, self.service.design, self.seen
        world, draw, model = service.world, service.draw, service.design.model
        input_tokens = draw.randint(*design.input_tokens) + design.grows_by * number
        start_s = world.now_s
        phase = turn.below(seen.id())
        await phase.work(design.own_s / 4)
        call_s = world.now_s
        call = phase.below(seen.id())
        first_s: float | None = None
        answer: Answer | None = None
        for attempt in range(design.retries + 1):
            answer, first_s = await self._attempt(
                call, session, attempt, input_tokens, output_tokens, streamed
            )
            if answer.status == 200 or attempt == design.retries:
                break
            await self._back_off(call, attempt, answer)
        assert answer is not None
        ok = answer.status == 200
        attributes: dict[str, Any] = {
            c.OPERATION_NAME: "chat",
            c.PROVIDER_NAME: "openai",
            c.REQUEST_MODEL: model.name,
            c.RESPONSE_MODEL: model.name,
            c.SERVER_ADDRESS: "api.model.example",
        }
        if not seen.detailed:
            attributes[c.CONVERSATION_ID] = session
        if ok:
            attributes |= {c.INPUT_TOKENS: input_tokens, c.OUTPUT_TOKENS: output_tokens}
        else:
            attributes[c.ERROR_TYPE] = str(answer.status)
        if streamed:
            attributes[c.REQUEST_STREAM] = True
            if first_s is not None:
                attributes[c.TIME_TO_FIRST_CHUNK] = first_s - call_s
        parent = phase.span_id if seen.detailed else turn.span_id
        seen.write(
            turn.trace_id, f"chat {model.name}", call_s, attributes, parent, call.span_id, "CLIENT",
            error=not ok,
        )  # fmt: skip
        await phase.work(design.own_s / 4)
        if seen.detailed:
            seen.write(
                turn.trace_id, "ask_model", start_s, {c.PHASE: "llm_call"}, turn.span_id,
                phase.span_id, error=not ok,
            )  # fmt: skip
        if not ok:
            raise Failed

    async def _attempt(
        self,
        call: Strand,
        session: str,
        number: int,
        input_tokens: int,
        output_tokens: int,
        streamed: bool,
    ) -> tuple[Answer, float | None]:
        seen, world = self.seen, self.service.world
        start_s, span_id = world.now_s, seen.id()
        await call.wait(self.http_pool.take(), "llm.connection")
        seen.wait(call.trace_id, span_id, c.Wait.HTTP_POOL, "api.model.example", start_s)
        answer = self.service.provider.ask(session, input_tokens, output_tokens, streamed=streamed)
        first_s = None
        if answer.status == 200 and streamed:
            first_s = await self._read(call, answer)
        else:
            failed = {429: "llm.rate_limit", 503: "llm.retry"}
            await call.wait(answer.last, failed.get(answer.status, "llm.first_token"))
        self.http_pool.give()
        if answer.status == 429:
            self.service.refusals_s.append(world.now_s - start_s)
        if seen.detailed:
            attributes: dict[str, Any] = {
                c.HTTP_REQUEST_METHOD: "POST",
                c.SERVER_ADDRESS: "api.model.example",
                c.HTTP_RESEND_COUNT: number,
                c.HTTP_STATUS_CODE: answer.status,
            }
            for name, value in answer.headers.items():
                attributes[c.HTTP_RESPONSE_HEADER + name] = [value]
            seen.write(
                call.trace_id, "POST", start_s, attributes, call.span_id, span_id, "CLIENT",
                error=answer.status >= 400,
            )  # fmt: skip
        return answer, first_s

    async def _read(self, call: Strand, answer: Answer) -> float:
        """Read a stream; when its first chunk was seen. Only lateness at its end delays the turn."""
        world, task = self.service.world, self.process.task
        assert task is not None
        began_s, i = world.now_s, len(call.truth)
        await call.wait(answer.first, "llm.first_token")
        first_s = world.now_s
        for piece in range(1, PIECES):
            # Chunks wake the reader; those that the loop took in meanwhile it reads without waiting.
            due_s = answer.first.at_s + (answer.ends_s - answer.first.at_s) * piece / PIECES
            if due_s > self.process.heard_s:
                await call.wait(world.after(max(0.0, due_s - world.now_s)), "llm.generation")
        if answer.last.happened and answer.last.at_s > self.process.heard_s:
            await call.wait(world.after(0.0), "llm.generation")
        await call.wait(answer.last, "llm.generation")
        ended_s, process = answer.last.at_s, self.process
        resumed_s = max(ended_s, task.resumed_s)
        call.truth[i:] = [
            Stretch(process, "llm.first_token", began_s, answer.first.at_s),
            Stretch(process, "llm.generation", answer.first.at_s, ended_s),
            Stretch(process, "runtime.event_loop", ended_s, resumed_s),
            Stretch(process, call.own, resumed_s, world.now_s, process.step_cost_s),
        ]
        return first_s

    async def _back_off(self, call: Strand, attempt: int, answer: Answer) -> None:
        """As the providers' own clients do: what the header says, else doubling from half a second."""
        world, draw = self.service.world, self.service.draw
        start_s = world.now_s
        told = answer.headers.get("retry-after")
        sleep_s = float(told) if told and 0 < float(told) <= 60 else 0.0
        if not sleep_s:
            sleep_s = min(8.0, 0.5 * 2**attempt) * (1 - 0.25 * draw.random())
        limited = answer.status == 429
        await call.wait(world.after(sleep_s), "llm.rate_limit" if limited else "llm.retry")
        kind = c.Wait.RATE_LIMIT if limited else c.Wait.RETRY_BACKOFF
        self.seen.wait(call.trace_id, call.span_id, kind, "openai", start_s)

    async def _send(self, turn: Strand, user: int) -> tuple[float, float]:
        """Send the answer; when its first byte went out, and how long sending was awaited."""
        design, world = self.service.design, self.service.world
        first_byte_s, waited_s = world.now_s, 0.0
        slow = user % 100 < 100 * design.slow_readers
        pace = design.reads_bytes_per_s if slow else 5e6
        left = design.answer_bytes
        buffered, at_s = 0.0, world.now_s
        while left > 0:
            piece = min(left, 16_000)
            left -= piece
            buffered = max(0.0, buffered - (world.now_s - at_s) * pace) + piece
            at_s = world.now_s
            over = buffered - design.buffer_bytes
            if over > 0:
                began_s = world.now_s
                # asyncio resumes the writer when a quarter of the high-water mark is left.
                drain_s = (buffered - design.buffer_bytes / 4) / pace
                await turn.wait(world.after(drain_s), "client.send")
                waited_s += world.now_s - began_s
            await turn.work(2e-5)
        return first_byte_s, waited_s


async def _whole(part: Coroutine[Any, None, Any], strand: Strand) -> Failed | None:
    """A part that runs beside others: its end, and its failure as a value."""
    process, task = strand.process, strand.process.task
    assert task is not None
    strand.truth.append(
        Stretch(process, strand.own, task.resumed_s, strand.now_s, process.step_cost_s)
    )
    try:
        await part
    except Failed as failure:
        return failure
    return None
