"""Draw the boards for the README: Grafana's own components in Chromium, fed by a real Prometheus.

cd dashboards && python -m pictures.draw

Needs node with npm, chromium, prometheus with promtool, pngquant and the font Inter (on Debian:
apt-get install nodejs npm chromium prometheus pngquant fonts-inter), the network at the first
run, and half a gigabyte for modules, in a cache folder and never in this one.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from pictures import story

HERE = Path(__file__).resolve().parent
GENERATED = HERE.parent / "generated"
CACHE = Path.home() / ".cache" / "agentscope-pictures"
MAX_BYTES = 300_000
WIDTH = 1600
HEAD, CELL, GAP = 100, 30, 8
"""Heights that ``app.tsx`` knows too: above the panels, of a unit of the grid, between two."""

VALUES = {
    "__rate_interval": "60s",
    "__range": f"{story.END_S - story.START_S}s",
    "job": story.JOB,
    "instance": ".+",
    "route": ".+",
    "model": ".*",
}
"""What Grafana would put in for its variables, at a scrape every fifteen seconds."""

Json = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Draw all boards, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m pictures.draw", description=__doc__)
    parser.add_argument("boards", nargs="*", metavar="UID", help="agentscope-llm, …")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the npm modules are")
    options = parser.parse_args(argv)
    script = _bundled(options.cache)
    with tempfile.TemporaryDirectory() as folder, _prometheus(Path(folder)) as address:
        for path in sorted(GENERATED.glob("*.json")):
            if options.boards and path.stem not in options.boards:
                continue
            board = json.loads(path.read_text(encoding="utf-8"))
            page = Path(folder) / f"{path.stem}.html"
            page.write_text(_page(board, address, script), encoding="utf-8")
            picture = HERE / f"{path.stem}.png"
            _photograph(page, picture, _height(board))
            print(f"wrote {picture.name}: {picture.stat().st_size:,} bytes")
            if picture.stat().st_size > MAX_BYTES:
                print(f"more than {MAX_BYTES:,} bytes", file=sys.stderr)
                return 1
    return 0


# --- the page ---------------------------------------------------------------------------------


def _page(board: Json, address: str, script: Path) -> str:
    answers = {
        panel["id"]: {
            target["refId"]: _answer(address, target["expr"]) for target in panel["targets"]
        }
        for panel in board["panels"]
        if panel["type"] != "row"
    }
    content = {
        "board": board,
        "answers": answers,
        "annotations": list(_marks(board, address)),
        "range": {"from": story.START_S * 1000, "to": story.END_S * 1000, "step": _step_s() * 1000},
        "choices": [
            (one["label"], {"datasource": "Prometheus", "job": story.JOB}.get(one["name"], "All"))
            for one in board["templating"]["list"]
        ],
    }
    inlined = json.dumps(content).replace("</", "<\\/")
    return (
        f'<!doctype html><meta charset="utf-8"><title>{board["title"]}</title>'
        f'<link rel="stylesheet" href="{script.with_suffix(".css").as_uri()}">'
        '<body style="margin:0;background:#111217"><div id="board"></div>'
        f'<script>window.PAGE = {inlined}</script><script src="{script.as_uri()}"></script>'
    )


def _answer(address: str, expr: str) -> list[Json]:
    """The series of a query over the whole hour, as Prometheus tells them."""
    query = {
        "query": _expanded(expr),
        "start": story.START_S,
        "end": story.END_S,
        "step": _step_s(),
    }
    with urlopen(f"{address}/api/v1/query_range?{urlencode(query)}", timeout=60) as response:
        result: list[Json] = json.load(response)["data"]["result"]
    return result


def _marks(board: Json, address: str) -> Iterator[Json]:
    """Annotations as Grafana makes them: points in a row are one region."""
    for annotation in board["annotations"]["list"]:
        if not annotation["enable"]:
            continue
        for series in _answer(address, annotation["expr"]):
            times = [at for at, _ in series["values"]]
            mark = {"colour": annotation["iconColor"], "from": times[0] * 1000}
            yield {**mark, "to": times[-1] * 1000}


def _expanded(expr: str) -> str:
    return re.sub(
        r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))", lambda match: VALUES[match[1] or match[2]], expr
    )


def _step_s() -> int:
    return story.STEP_S


def _height(board: Json) -> int:
    units = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    return int(HEAD + units * (CELL + GAP) + GAP)


# --- the tools --------------------------------------------------------------------------------


def _bundled(cache: Path) -> Path:
    """``app.tsx`` with all that it needs, as one script."""
    cache.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package.json").read_bytes()
    if not (cache / "package.json").is_file() or (cache / "package.json").read_bytes() != wanted:
        shutil.copy(HERE / "package.json", cache)
        install = ["npm", "install", "--force", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=cache, check=True)
    shutil.copy(HERE / "app.tsx", cache)
    bundle = ["npx", "esbuild", "app.tsx", "--bundle", "--outfile=app.js", "--jsx=automatic"]
    bundle += ["--loader:.ttf=empty", "--define:process.env.NODE_ENV='production'"]
    subprocess.run([*bundle, "--log-level=error"], cwd=cache, check=True)
    return cache / "app.js"


def _photograph(page: Path, picture: Path, height: int) -> None:
    raw = page.with_suffix(".png")
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    browser += ["--allow-file-access-from-files", f"--window-size={WIDTH},{height}"]
    browser += ["--virtual-time-budget=15000", f"--screenshot={raw}", page.as_uri()]
    subprocess.run(browser, check=True, timeout=180, stderr=subprocess.DEVNULL)
    shrink = ["pngquant", "--force", "--strip", "--speed", "1", "--output", str(picture), "64"]
    subprocess.run([*shrink, str(raw)], check=True)


@contextmanager
def _prometheus(folder: Path) -> Iterator[str]:
    """A Prometheus that looks back on the story, by its address; gone afterwards."""
    with (folder / "story.om").open("w", encoding="utf-8") as file:
        file.writelines(story.record().openmetrics())
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "story.om", "data"]
    subprocess.run(fill, cwd=folder, check=True)
    (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: {story.STEP_S}s}}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    command += ["--storage.tsdb.retention.time=10y", f"--web.listen-address={address}"]
    process = subprocess.Popen([*command, "--log.level=error"], cwd=folder)
    try:
        _wait_for(f"http://{address}/-/ready", process)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer")


if __name__ == "__main__":
    sys.exit(main())
