"""Records ``data/*.jsonl.gz`` anew: ``python tests/analyzer/inputs/record_foreign.py [ENVIRONMENTS]``.

For each producer a throw-away environment gets its packages from the index (or is found in the
folder ENVIRONMENTS), runs ``foreign_service.py`` against the mock LLM, and leaves its spans and
``data/<producer>.truth.json``: what the service itself counted meanwhile; ``data/locust`` is one
of them asked by Locust, with Locust's tables. Host, process and paths
are taken out of the spans; nothing else is changed.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COMMON = ("uvicorn", "openai", "opentelemetry-exporter-otlp-json-file")
FASTAPI = ("fastapi", "opentelemetry-instrumentation-fastapi")
OLDER = ("openai<3", "opentelemetry-util-genai==0.4b0")
PRODUCERS = {
    "fastapi": FASTAPI,
    # Released for the client before httpx2 and for the first of the helpers it stands on.
    "genai": (*FASTAPI, "opentelemetry-instrumentation-openai-v2", *OLDER),
    "openllmetry": (*FASTAPI, "opentelemetry-instrumentation-openai"),
    "openinference": (*FASTAPI, "openinference-instrumentation-openai"),
    "logfire": ("fastapi", "logfire[fastapi]"),
}
VERSIONS = ("openai", "logfire", "opentelemetry-sdk", "opentelemetry-instrumentation")
_PRIVATE = re.compile(r"(process\.|host\.|os\.|service\.instance\.id|code\.(file|line))")
READY = re.compile(r"mock LLM ready on (\S+)")


def main(environments: Path) -> None:
    mock = subprocess.Popen(
        [sys.executable, "-m", "agentscope_analyzer", "mock-llm", "--port", "0", "--seed", "7"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert mock.stdout is not None
        line = next(text for text in mock.stdout if READY.search(text))
        (url,) = READY.findall(line)
        for producer, packages in PRODUCERS.items():
            record(producer, environment(environments / producer, packages), url)
        record_with_locust(environments / "genai" / "bin" / "python", url)
    finally:
        mock.terminate()
        mock.wait()


def environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """The Python of an environment that holds the packages."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *COMMON, *packages], check=True)
    return python


def record(producer: str, python: Path, url: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = [python, HERE / "foreign_service.py", producer, url, folder]
        subprocess.run(service, check=True)
        truth = json.loads((folder / "truth.json").read_text())
        lines = (folder / "traces.jsonl").read_text().splitlines()
    data = HERE / "data"
    data.mkdir(exist_ok=True)
    _keep(lines, data / f"{producer}.jsonl.gz")
    told = {"producer": _versions(python, producer), **truth}
    (data / f"{producer}.truth.json").write_text(json.dumps(told, indent=1) + "\n")
    print(producer, truth)


def record_with_locust(python: Path, url: str) -> None:
    """The same service asked by Locust, whose own tables are kept beside the spans."""
    data = HERE / "data" / "locust"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [python, HERE / "foreign_service.py", "genai", url, folder, "--serve"]
        service = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert service.stdout is not None
        address = service.stdout.readline().strip()
        subprocess.run(
            [sys.executable, "-m", "locust", "-f", HERE / "locustfile_foreign.py", "--headless",
             "--only-summary", "--host", address, "--users", "6", "--spawn-rate", "3",
             "--run-time", "8s", "--stop-timeout", "5s", "--csv", data / "run",
             "--csv-full-history", "--exit-code-on-error", "0"],
            check=True, capture_output=True,
        )  # fmt: skip
        service.communicate()
        _keep((folder / "traces.jsonl").read_text().splitlines(), data / "traces.jsonl.gz")
    (data / "run_exceptions.csv").unlink()


def _keep(lines: list[str], file: Path) -> None:
    text = "".join(
        json.dumps(_anonymous(json.loads(line)), separators=(",", ":")) + "\n" for line in lines
    )
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def _anonymous(value: Any) -> Any:
    """Without the attributes that name a host, a process or a file."""
    if isinstance(value, list):
        return [_anonymous(part) for part in value if not _private(part)]
    if isinstance(value, dict):
        return {key: _anonymous(part) for key, part in value.items()}
    return value


def _private(pair: Any) -> bool:
    return isinstance(pair, dict) and _PRIVATE.match(str(pair.get("key", ""))) is not None


def _versions(python: Path, producer: str) -> dict[str, str]:
    asked = [*(re.sub(r"\[.*", "", name) for name in PRODUCERS[producer]), *VERSIONS]
    script = (
        "import importlib.metadata as m, json, sys\n"
        "d = {x.metadata['Name'].lower(): x.version for x in m.distributions()}\n"
        "print(json.dumps({n: d[n] for n in sys.argv[1:] if n in d}))"
    )
    run = subprocess.run([python, "-c", script, *asked], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(run.stdout)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
