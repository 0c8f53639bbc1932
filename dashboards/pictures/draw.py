"""Draw the boards for the README: Grafana's own components in Chromium, fed by a real Prometheus.

cd dashboards && python -m pictures.draw
cd dashboards && python -m pictures.draw --data PROMETHEUS_DATA --from TIME --to TIME --output DIR

Of a made-up hour, for the README; or of what a Prometheus of one's own has stored, to see the boards
with real figures. Needs node with npm, chromium, prometheus with promtool, pngquant and the font Inter (on Debian:
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
from typing import Any, NamedTuple
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

STEPS = 240
"""Points a line has, about as many as Grafana asks for in a panel of such a width."""

Json = dict[str, Any]


class Shown(NamedTuple):
    """What is drawn: which time, at which scrape interval, and how."""

    start_s: int
    end_s: int
    scrape_s: int
    width: int = WIDTH
    light: bool = False

    @property
    def step_s(self) -> int:
        """Grafana's interval: never less than a scrape."""
        return max(self.scrape_s, (self.end_s - self.start_s) // STEPS)

    def values(self) -> dict[str, str]:
        """What Grafana would put in for its variables; everything is chosen."""
        return {
            "__rate_interval": f"{max(self.step_s + self.scrape_s, 4 * self.scrape_s)}s",
            "__interval": f"{self.step_s}s",
            "__range": f"{self.end_s - self.start_s}s",
            "job": ".+",
            "instance": ".+",
            "route": ".+",
            "model": ".*",
        }


def main(argv: list[str] | None = None) -> int:
    """Draw all boards, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m pictures.draw", description=__doc__)
    parser.add_argument("boards", nargs="*", metavar="UID", help="agentscope-llm, …")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the npm modules are")
    parser.add_argument("--data", type=Path, help="what a Prometheus has stored (the made-up hour)")
    parser.add_argument("--from", dest="start", type=float, help="Unix time, with --data")
    parser.add_argument("--to", dest="end", type=float, help="Unix time, with --data")
    parser.add_argument(
        "--scrape", type=int, default=15, help="its scrape interval in seconds (15)"
    )
    parser.add_argument("--width", type=int, default=WIDTH, help=f"of the window ({WIDTH})")
    parser.add_argument("--light", action="store_true", help="Grafana's light theme")
    parser.add_argument("--output", type=Path, default=HERE, help="where the pictures go")
    options = parser.parse_args(argv)
    shown = Shown(story.START_S, story.END_S, story.STEP_S, options.width, options.light)
    if options.data:
        times = int(options.start), int(options.end), options.scrape
        shown = Shown(*times, options.width, options.light)
    script = _bundled(options.cache)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or _told(Path(folder))
        with _prometheus(Path(folder), data, shown.scrape_s) as address:
            for path in sorted(GENERATED.glob("*.json")):
                if options.boards and path.stem not in options.boards:
                    continue
                board = json.loads(path.read_text(encoding="utf-8"))
                page = Path(folder) / f"{path.stem}.html"
                page.write_text(_page(board, address, script, shown), encoding="utf-8")
                picture = options.output / f"{path.stem}.png"
                _photograph(page, picture, shown.width, _height(board))
                print(f"wrote {picture.name}: {picture.stat().st_size:,} bytes")
                if picture.stat().st_size > MAX_BYTES:
                    print(f"more than {MAX_BYTES:,} bytes", file=sys.stderr)
                    return 1
    return 0


# --- the page ---------------------------------------------------------------------------------


def _page(board: Json, address: str, script: Path, shown: Shown) -> str:
    answers = {
        panel["id"]: {
            target["refId"]: _answer(address, target["expr"], shown) for target in panel["targets"]
        }
        for panel in board["panels"]
        if panel["type"] != "row"
    }
    content = {
        "board": board,
        "answers": answers,
        "annotations": list(_marks(board, address, shown)),
        "range": {
            "from": shown.start_s * 1000, "to": shown.end_s * 1000, "step": shown.step_s * 1000,
        },
        "look": {"width": shown.width, "mode": "light" if shown.light else "dark"},
        "choices": [
            (one["label"], {"datasource": "Prometheus"}.get(one["name"], "All"))
            for one in board["templating"]["list"]
        ],
    }  # fmt: skip
    inlined = json.dumps(content).replace("</", "<\\/")
    canvas = "#f4f5f5" if shown.light else "#111217"
    return (
        f'<!doctype html><meta charset="utf-8"><title>{board["title"]}</title>'
        f'<link rel="stylesheet" href="{script.with_suffix(".css").as_uri()}">'
        f'<body style="margin:0;background:{canvas}"><div id="board"></div>'
        f'<script>window.PAGE = {inlined}</script><script src="{script.as_uri()}"></script>'
    )


def _answer(address: str, expr: str, shown: Shown) -> list[Json]:
    """The series of a query over the whole time, as Prometheus tells them."""
    filled = re.sub(
        r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))",
        lambda match: shown.values()[match[1] or match[2]],
        expr,
    )
    query = {"query": filled, "start": shown.start_s, "end": shown.end_s, "step": shown.step_s}
    with urlopen(f"{address}/api/v1/query_range?{urlencode(query)}", timeout=60) as response:
        result: list[Json] = json.load(response)["data"]["result"]
    return result


def _marks(board: Json, address: str, shown: Shown) -> Iterator[Json]:
    """Annotations as Grafana makes them: points in a row are one region."""
    for annotation in board["annotations"]["list"]:
        if not annotation["enable"]:
            continue
        for series in _answer(address, annotation["expr"], shown):
            times = [at for at, _ in series["values"]]
            mark = {"colour": annotation["iconColor"], "from": times[0] * 1000}
            yield {**mark, "to": times[-1] * 1000}


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


def _photograph(page: Path, picture: Path, width: int, height: int) -> None:
    raw = page.with_suffix(".png")
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    browser += ["--allow-file-access-from-files", f"--window-size={width},{height}"]
    browser += ["--virtual-time-budget=15000", f"--screenshot={raw}", page.as_uri()]
    subprocess.run(browser, check=True, timeout=180, stderr=subprocess.DEVNULL)
    shrink = ["pngquant", "--force", "--strip", "--speed", "1", "--output", str(picture), "64"]
    subprocess.run([*shrink, str(raw)], check=True)


def _told(folder: Path) -> Path:
    """The story as Prometheus stores it."""
    with (folder / "story.om").open("w", encoding="utf-8") as file:
        file.writelines(story.record().openmetrics())
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "story.om", "data"]
    subprocess.run(fill, cwd=folder, check=True)
    return folder / "data"


@contextmanager
def _prometheus(folder: Path, data: Path, scrape_s: int) -> Iterator[str]:
    """A Prometheus that looks back on ``data``, by its address; gone afterwards."""
    (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: {scrape_s}s}}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        f"--storage.tsdb.path={data.resolve()}",
    ]
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
