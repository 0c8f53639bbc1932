"""LiteLLM's stories: through the openai client and through its own, retried and with fallbacks."""

from __future__ import annotations

from typing import Any

import litellm
from litellm import acompletion, completion  # before anything is hooked
from telling import Tokens, Told, tell

import agentscope

HELLO = [{"role": "user", "content": "Hello"}]
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
RETRIED = "status=429,200;retry-after=0"


def through_openai(url: str, knobs: str = "depth=0", **options: Any) -> dict[str, Any]:
    return asked(f"openai/mock@{knobs}", f"{url}/v1", options)


def through_its_own(url: str, knobs: str = "depth=0", **options: Any) -> dict[str, Any]:
    return asked(f"anthropic/mock@{knobs}", url, options)


def asked(model: str, url: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "api_base": url, "api_key": "mock", "messages": HELLO, **options}


def used(answers: Any) -> Tokens:
    usages = [each.usage for each in answers if getattr(each, "usage", None)]
    return Tokens(usages[-1].prompt_tokens, usages[-1].completion_tokens)


def whole(way: Any, **options: Any) -> Told:
    return lambda url: used([completion(**way(url, **options))])


def whole_async(way: Any, **options: Any) -> Told:
    async def ask(url: str) -> Tokens:
        return used([await acompletion(**way(url, **options))])

    return ask


def streamed(way: Any, **options: Any) -> Told:
    return lambda url: used(completion(**way(url, **STREAM, **options)))


def streamed_async(way: Any, **options: Any) -> Told:
    async def read(url: str) -> Tokens:
        return used([chunk async for chunk in await acompletion(**way(url, **STREAM, **options))])

    return read


def abandoned(way: Any) -> Told:
    def read(url: str) -> None:
        for _ in completion(**way(url, **STREAM)):
            break

    return read


def in_a_call_of_the_users(way: Any) -> Told:
    def ask(url: str) -> Tokens:
        with agentscope.llm_call(model="mine"):
            return used([completion(**way(url))])

    return ask


async def fallback(url: str) -> Tokens:
    other = through_its_own(url)
    failing = through_openai(url, "status=500", max_retries=0, fallbacks=[other])
    return used([await acompletion(**failing)])


def router_of(url: str) -> Any:
    """Two models, each of which stands for the other when it fails; the second is limited."""
    models = {"first": through_openai(url, "status=500"), "second": through_its_own(url, RETRIED)}
    for parameters in models.values():
        del parameters["messages"]
    return litellm.Router(
        [{"model_name": name, "litellm_params": models[name]} for name in models],
        fallbacks=[{"first": ["second"]}],
        num_retries=1,
        retry_after=0,
        disable_cooldowns=True,
    )


async def router(url: str) -> Tokens:
    return used([await router_of(url).acompletion("first", HELLO)])


async def router_streamed(url: str) -> Tokens:
    answer = await router_of(url).acompletion("second", HELLO, **STREAM)
    return used([chunk async for chunk in answer])


def embedding(url: str) -> Tokens:
    answer = litellm.embedding("openai/mock", ["a"], api_base=f"{url}/v1", api_key="mock")
    return Tokens(answer.usage.prompt_tokens, 0)


if __name__ == "__main__":
    litellm.suppress_debug_info = True
    stories: dict[str, Told] = {}
    for way in (through_openai, through_its_own):
        for told in (whole, whole_async, streamed, streamed_async):
            name = f"{way.__name__}, {told.__name__}"
            stories[name] = told(way)
            stories[f"{name}, retried"] = told(way, knobs=RETRIED, num_retries=2)
        for told in (abandoned, in_a_call_of_the_users):
            stories[f"{way.__name__}, {told.__name__}"] = told(way)
    for story in (fallback, router, router_streamed, embedding):
        stories[story.__name__] = story
    tell(stories)
