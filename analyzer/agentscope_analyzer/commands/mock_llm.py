"""``agentscope mock-llm``: a model that costs nothing and can be repeated, for any client."""

from __future__ import annotations

import argparse
from typing import ClassVar

from agentscope_analyzer.commands._command import CommandError
from agentscope_analyzer.commands._values import whole_number

_GRAMMAR = """\
For OpenAI clients (base_url with /v1): chat completions, responses, embeddings. Without /v1: for
Anthropic clients messages; for google-genai generateContent and embeddings, Vertex AI's addresses
too; for boto3 (endpoint_url) Bedrock's Converse, and InvokeModel with Anthropic's body. Streams,
tools and quotas are those of each provider: Google's name themselves in the body of a 429 alone,
Bedrock's nowhere.

The API key and the model's name may be anything. Each key has a quota of its own for each model.
A model named as a profile answers like it. Knobs after an @ in the model's name, or --knobs, set
what one run or one request gets (durations in ms unless s is written; SIGMA makes it lognormal):

  mock-gpt4o@depth=0:0.3,1:0.5,2:0.2;ttft=640/0.35

  profile=NAME          small-fast, frontier, large, long-synthesis, instant
  ttft=640[/SIGMA]      time to first token        itl=16[/SIGMA]    time between tokens
  out=120[/SIGMA]       tokens of an answer        reasoning=500     tokens thought before it
  depth=0:0.3,1:0.7     rounds of tool calls       calls=1:0.8,2:0.2 parallel calls in a round
  tools=NAME:3,NAME:1   how often a tool is taken  fault=500:0.02,529:0.01,hang:0.001,truncate:0.01
  status=429,429,200    what each attempt gets: a status, hang or truncate; 200 is an answer.
                        Attempts after the last get what the last got; without a header that
                        counts them (x-stainless-retry-count, amz-sdk-request) equal requests are
                        attempts of one another
  retry-after=1         seconds, sent with the errors of fault= and status=
  should-retry=false    true or false, sent with them as x-should-retry

A call whose first two attempts fail: mock-gpt4o@status=429,429,200;retry-after=1

What a conversation gets follows from --seed and from its text alone: the same run gives the same
answers. Token counts are estimates, four characters a token. GET /stats tells what was admitted
and refused, and how late the mock itself was."""


class MockLlm:
    """Serve the mock LLM until it is stopped."""

    name: ClassVar[str] = "mock-llm"
    summary: ClassVar[str] = "serve a mock LLM: four providers' protocols, quotas, latency"
    example: ClassVar[str] = "agentscope mock-llm --rpm 60 --profile frontier"

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""
        parser.epilog = _GRAMMAR
        add = parser.add_argument
        add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        add(
            "--port",
            type=whole_number,
            default=8089,
            help="0 chooses a free one (default: %(default)s)",
        )
        add("--rpm", type=whole_number, metavar="N", help="requests per minute (default: no limit)")
        add(
            "--tpm",
            type=whole_number,
            metavar="N",
            help="tokens per minute, for OpenAI and Bedrock",
        )
        add(
            "--itpm",
            type=whole_number,
            metavar="N",
            help="input tokens per minute, for Anthropic and Google",
        )
        add(
            "--otpm", type=whole_number, metavar="N", help="output tokens per minute, for Anthropic"
        )
        add("--no-retry-after-ms", action="store_true", help="429s give whole seconds to wait only")
        add("--profile", metavar="NAME", help="latency profile (default: small-fast)")
        add("--ttft", metavar="S[/SIGMA]", help="seconds to the first token")
        add("--itl", metavar="S[/SIGMA]", help="seconds between tokens")
        add("--output-tokens", metavar="N[/SIGMA]", help="tokens of an answer in text")
        add("--depth", metavar="D:W,…", help="rounds of tool calls (default: 0:0.3,1:0.5,2:0.2)")
        add("--calls", metavar="N:W,…", help="parallel calls in a round (default: 1:0.8,2:0.2)")
        add("--fault", metavar="KIND:RATE,…", help="a status, hang or truncate, and its share")
        add("--knobs", metavar="KNOBS", default="", help="any knobs, as in a model's name")
        add(
            "--max-rounds",
            type=whole_number,
            default=8,
            metavar="N",
            help="cap (default: %(default)s)",
        )
        add("--seed", type=whole_number, default=0, help="of all draws (default: %(default)s)")

    def run(self, args: argparse.Namespace) -> int:
        """Serve until SIGINT or SIGTERM."""
        from agentscope.errors import ConfigError
        from agentscope.lab.mock_llm import MockLlmSettings, RunningMockLlm, serve

        def tell(server: RunningMockLlm) -> None:
            print(f"mock LLM ready on {server.base_url}", flush=True)

        try:
            settings = MockLlmSettings(
                host=args.host,
                port=args.port,
                rpm=args.rpm,
                tpm=args.tpm,
                itpm=args.itpm,
                otpm=args.otpm,
                retry_after_ms=not args.no_retry_after_ms,
                knobs=_knobs(args),
                seed=args.seed,
                max_rounds=args.max_rounds,
            )
        except ConfigError as error:
            raise CommandError(str(error)) from None
        try:
            serve(settings, tell)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"cannot listen on {args.host}:{args.port}: {reason}"
            raise CommandError(f"{message}; choose another --port (0: any free one)") from None
        return 0


def _knobs(args: argparse.Namespace) -> str:
    """The options as knobs; --knobs comes last, so it wins."""
    options = {
        "profile": args.profile,
        "ttft": _in_seconds(args.ttft),
        "itl": _in_seconds(args.itl),
        "out": args.output_tokens,
        "depth": args.depth,
        "calls": args.calls,
        "fault": args.fault,
    }
    knobs = [f"{name}={value}" for name, value in options.items() if value is not None]
    return ";".join([*knobs, *filter(None, [args.knobs])])


def _in_seconds(text: str | None) -> str | None:
    """A duration of the command line, where a number without a unit is seconds."""
    if text is None:
        return None
    median, slash, sigma = text.partition("/")
    return f"{median}{'' if median.endswith('s') else 's'}{slash}{sigma}"
