"""``agentscope mock-llm`` as its users start it: a process."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from agentscope.lab.mock_llm.knobs import KNOBS
from agentscope.lab.mock_llm.latency import PROFILES

COMMAND = [sys.executable, "-m", "agentscope_analyzer", "mock-llm"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_ready_and_stops_when_it_is_told(number: signal.Signals) -> None:
    """One line once it answers, on the port it chose; a signal is a clean end."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--rpm", "60", "--ttft", "0.2/0.1", "--fault", "500:0.01"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            found = re.fullmatch(r"mock LLM ready on (http://127\.0\.0\.1:\d+)/v1\n", ready)
            assert found, ready
            with urllib.request.urlopen(f"{found[1]}/healthz", timeout=10) as response:
                assert response.status == 200
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()

    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_in_use_is_one_line() -> None:
    """It names the address and the option that helps."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=60, check=False
        )

    assert done.returncode == 2
    assert done.stderr == (
        f"agentscope mock-llm: error: cannot listen on 127.0.0.1:{port}: address already in use; "
        "choose another --port (0: any free one)\n"
    )


def test_a_wrong_option_is_one_line() -> None:
    """A value that is not understood says what to write, before anything is served."""
    done = subprocess.run(
        [*COMMAND, "--depth", "many"], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2
    assert done.stderr == (
        "agentscope mock-llm: error: knob depth=many: 'many' is not a whole number from 0 to 64\n"
    )


def test_the_help_names_every_knob_and_profile() -> None:
    """What the server understands, its help tells."""
    done = subprocess.run(
        [*COMMAND, "--help"], capture_output=True, text=True, timeout=60, check=True
    )

    assert [knob for knob in KNOBS if f"{knob}=" not in done.stdout] == []
    assert [profile for profile in PROFILES if profile not in done.stdout] == []
