"""Users of ``foreign_service.py`` as somebody would write them for Locust; for ``record_foreign.py``."""

from __future__ import annotations

from itertools import count

from locust import FastHttpUser, constant, task

_numbers = count(1)


class Customer(FastHttpUser):
    """Asks for its health once in a while, and for something that breaks in every tenth turn."""

    wait_time = constant(0.3)

    @task(8)
    def say(self) -> None:
        number = next(_numbers)
        broken = number % 10 == 0
        asked = {"session": f"s{id(self) % 97}", "turn": 5 if broken else 1, "text": "Where is it?"}
        self.client.post("/chat", json=asked)

    @task(1)
    def health(self) -> None:
        self.client.get("/health")
