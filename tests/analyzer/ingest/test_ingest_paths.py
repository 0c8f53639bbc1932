"""Clean files: both paths give the rows that the file holds, whatever spelling its writer uses."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from agentscope_analyzer.ingest import open_run, reader
from agentscope_analyzer.ingest.attributes import Irregular

KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
STATUSES = {0: "UNSET", 1: "OK", 2: "ERROR"}
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEYS = TEXT | st.sampled_from(
    ["http.status_code", "gen_ai.usage.input_tokens", "agentscope.turn", "$.x", "*", "a'b\"c", "/x"]
)
PLAIN = TEXT | INT64 | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = PLAIN | st.lists(PLAIN, max_size=3)


@st.composite
def span_models(draw: st.DrawFn) -> dict[str, Any]:
    start_ns = draw(st.integers(1, 2**62))
    return {
        "name": draw(TEXT),
        "kind": draw(st.sampled_from(sorted(KINDS))),
        "start_ns": start_ns,
        "end_ns": start_ns + draw(st.integers(0, 2**61)),
        "status": draw(st.sampled_from(sorted(STATUSES))),
        "attributes": draw(st.dictionaries(KEYS, VALUES, max_size=5)),
        "root": draw(st.booleans()),
    }


SPELLINGS = st.fixed_dictionaries(
    {"numbers": st.booleans(), "names": st.booleans(), "upper": st.booleans()}
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(span_models(), max_size=4), min_size=1, max_size=3), SPELLINGS)
def test_both_paths_give_the_rows_of_the_file(
    lines: list[list[dict[str, Any]]], spelling: dict[str, bool]
) -> None:
    """Fast and careful path agree on every column, and on what the file was made from."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "traces-a.jsonl"
        file.write_text("".join(otlp_line(spans, n, spelling) for n, spans in enumerate(lines)))

        fast = spans_of(file)
        with patch.object(reader, "read_traces", side_effect=Irregular):
            careful = spans_of(file)

    assert fast == careful
    assert [core(row) for row in fast] == [
        expected(span, n, i) for n, spans in enumerate(lines) for i, span in enumerate(spans)
    ]


def test_a_clean_file_is_read_fast(tmp_path: Path) -> None:
    """The property above would say nothing if clean files took the careful path anyway."""
    model = {"name": 'é\u2028"', "kind": 3, "start_ns": 5, "end_ns": 5, "status": 2, "root": True}
    for numbers, names in ((True, False), (False, True)):
        spelling = {"numbers": numbers, "names": names, "upper": True}
        values = ["x", 1, 2.5, True, ["a\n", 1, 0.5, False], []]
        attributes = {f"k{n}": value for n, value in enumerate(values)}
        line = otlp_line([{**model, "attributes": attributes}], 0, spelling)
        (tmp_path / f"traces-{numbers}.jsonl").write_text(line)
        with open_run(tmp_path / f"traces-{numbers}.jsonl") as run:
            assert [source.how for source in run.sources] == ["fast"]
            ((attrs,),) = run.engine.rows("SELECT attrs FROM spans")
        assert attrs == {
            "k0": "x", "k1": "1", "k2": "2.5", "k3": "true", "k4": '["a\\n",1,0.5,false]', "k5": "[]",
        }  # fmt: skip


def test_values_that_only_the_careful_path_knows(tmp_path: Path) -> None:
    """Maps, bytes, lists of lists and values that are not finite become text; nulls are left out."""
    values = {
        "map": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}},
        "bytes": {"bytesValue": "AAEC"},
        "nested": {"arrayValue": {"values": [{"arrayValue": {"values": [{"boolValue": True}]}}]}},
        "nan": {"doubleValue": "NaN"},
        "null": {},
    }
    attributes = [{"key": key, "value": value} for key, value in values.items()]
    (tmp_path / "spans.json").write_text(otlp_line([], 0, {}, raw=[raw_span(attributes)]))

    with open_run(tmp_path / "spans.json") as run:
        assert run.engine.rows("SELECT attrs FROM spans") == [
            ({"map": '{"a":1}', "bytes": "AAEC", "nested": "[[true]]", "nan": "nan"},)
        ]
        assert (run.rejected, run.sources[0].how) == ({}, "careful")


def test_ids_in_base64_are_the_same_ids(tmp_path: Path) -> None:
    """Protobuf's own JSON writes bytes as base64; the tables hold hex."""
    span = raw_span([]) | {"traceId": "AAAAAAAAAAAAAAAAAAAAAQ==", "spanId": "AAAAAAAAAAI="}
    (tmp_path / "spans.json").write_text(otlp_line([], 0, {}, raw=[span]))
    with open_run(tmp_path / "spans.json") as run:
        assert run.engine.rows("SELECT trace_id, span_id FROM spans") == [
            (f"{1:032x}", f"{2:016x}")
        ]


def test_ten_thousand_hostile_attribute_names(tmp_path: Path) -> None:
    """A name is a name: paths, wildcards and SQL in it find that attribute's value and no other."""
    hostile = ["$.k1", "/k1", "*", "'; DROP TABLE spans; --", 'a"b', "$", "k1", ""]
    names = hostile + [f"k{n}" for n in range(2, 10_000)]
    attributes = [{"key": k, "value": {"stringValue": f"v:{k}"}} for k in names]
    (tmp_path / "spans.json").write_text(otlp_line([], 0, {}, raw=[raw_span(attributes)]))
    with open_run(tmp_path / "spans.json") as run:
        found = run.engine.rows(
            "SELECT k, attrs[k] FROM spans, unnest($names) AS asked(k)", names=names
        )
    assert dict(found) == {name: f"v:{name}" for name in names}


def otlp_line(
    spans: list[dict[str, Any]],
    line: int,
    spelling: dict[str, bool],
    raw: list[dict[str, Any]] | None = None,
) -> str:
    written = raw or [otlp_span(span, line, i, spelling) for i, span in enumerate(spans)]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "agent"}}]}
    scope_spans = [{"scope": {"name": "s"}, "spans": written}]
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scope_spans}]}) + "\n"


def otlp_span(span: dict[str, Any], line: int, i: int, spelling: dict[str, bool]) -> dict[str, Any]:
    def integer(value: int) -> Any:
        return value if spelling["numbers"] else str(value)

    def any_value(value: Any) -> dict[str, Any]:
        if isinstance(value, bool):
            return {"boolValue": value}
        if isinstance(value, int):
            return {"intValue": integer(value)}
        if isinstance(value, float):
            return {"doubleValue": value}
        if isinstance(value, list):
            return {"arrayValue": {"values": [any_value(element) for element in value]}}
        return {"stringValue": value}

    trace, own = f"{line + 0xA1:032x}", f"{i + 0xB1:016x}"
    kind = "SPAN_KIND_" + KINDS[span["kind"]] if spelling["names"] else span["kind"]
    code = "STATUS_CODE_" + STATUSES[span["status"]] if spelling["names"] else span["status"]
    return {
        "traceId": trace.upper() if spelling["upper"] else trace,
        "spanId": own.upper() if spelling["upper"] else own,
        **({} if span["root"] else {"parentSpanId": f"{0xC1:016x}"}),
        "name": span["name"],
        "kind": kind,
        "startTimeUnixNano": integer(span["start_ns"]),
        "endTimeUnixNano": integer(span["end_ns"]),
        "attributes": [{"key": k, "value": any_value(v)} for k, v in span["attributes"].items()],
        "events": [{"name": "e", "timeUnixNano": integer(span["start_ns"])}],
        "status": {"code": code} if span["status"] else {},
    }


def raw_span(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "traceId": f"{1:032x}",
        "spanId": f"{1:016x}",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": attributes,
    }


def spans_of(file: Path) -> list[dict[str, Any]]:
    with open_run(file) as run:
        assert run.rejected == {}
        return run.engine.query("SELECT * FROM spans ORDER BY trace_id, span_id")


def core(row: dict[str, Any]) -> tuple[Any, ...]:
    names = "trace_id", "span_id", "parent_id", "name", "kind", "start_ns", "end_ns", "status"
    plain = {k: v for k, v in row["attrs"].items() if not is_number_or_list(v)}
    return (*(row[name] for name in names), row["service"], row["scope"], len(row["attrs"]), plain)


def expected(span: dict[str, Any], line: int, i: int) -> tuple[Any, ...]:
    texts = {
        k: str(v).lower() if isinstance(v, bool) else v
        for k, v in span["attributes"].items()
        if isinstance(v, bool | str)
    }
    return (
        f"{line + 0xA1:032x}",
        f"{i + 0xB1:016x}",
        "" if span["root"] else f"{0xC1:016x}",
        span["name"],
        KINDS[span["kind"]],
        span["start_ns"],
        span["end_ns"],
        STATUSES[span["status"]],
        "agent",
        "s",
        len(span["attributes"]),
        {k: v for k, v in texts.items() if not is_number_or_list(v)},
    )


def is_number_or_list(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), bool)
    except ValueError:
        return False
