"""Which format a scraper gets, whatever it says that it wants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

import agentscope
from agentscope.export.prometheus import render
from agentscope.export.prometheus.negotiation import (
    ANY_NAMES,
    NEW_TEXT,
    OPENMETRICS,
    TEXT,
    format_for,
    takes_gzip,
)
from agentscope.testing import Recorded

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS + ANY_NAMES),
        (f"{PROTOBUF};q=0.7,{PROMETHEUS_3}", OPENMETRICS + ANY_NAMES),
        (f"{PROTOBUF},text/plain;version=0.0.4;q=0.3", TEXT),
        ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1", NEW_TEXT + ANY_NAMES),
        ("text/html, */*;q=0.8", TEXT),
        ("", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ('Application/OpenMetrics-Text; Version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; escaping=dots", OPENMETRICS),
        ("text/plain;version=0.0.4, application/openmetrics-text;q=0.9", TEXT),
        ("application/openmetrics-text;q=0, text/plain", TEXT),
        ("application/openmetrics-text;version=99.0.0", TEXT),
        ("application/openmetrics-text;version=abc", TEXT),
        ("text/plain;version=abc", TEXT),
        ("application/openmetrics-text;q=much", TEXT),
    ],
)
def test_the_format_that_is_wanted_most(accept: str, expected: str) -> None:
    """Of the three that there are, by weight; what makes no sense gets the plain one."""
    assert format_for(accept) == expected


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
    ],
)
def test_gzip_is_for_who_takes_it(accepted: str, expected: bool) -> None:
    """A weight of 0 is a no."""
    assert takes_gzip(accepted) is expected


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=200))
def test_any_header_has_an_answer(header: str) -> None:
    """It comes from anybody."""
    assert format_for(header) in {
        OPENMETRICS, NEW_TEXT, TEXT, OPENMETRICS + ANY_NAMES, NEW_TEXT + ANY_NAMES,
    }  # fmt: skip
    assert takes_gzip(header) in (True, False)


def test_what_the_answer_is_called_is_what_it_is(recorded: Recorded) -> None:
    """The content type names the format, and the text parses as it."""
    with agentscope.turn("t", session="s"), agentscope.llm_call(model='we"ird\\mo\ndél'):
        pass
    text, content_type = render(recorded.recorder, PROMETHEUS_3)
    assert content_type == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    )
    models = {
        sample.labels["model"]
        for family in openmetrics(text.decode())
        for sample in family.samples
        if "model" in sample.labels
    }
    assert models == {'we"ird\\mo\ndél'}
    plain = render(recorded.recorder, "text/plain;version=abc")
    assert plain[1] == "text/plain; version=0.0.4; charset=utf-8"
