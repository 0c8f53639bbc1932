"""Locust users that hold conversations, and what they saw, one JSON line a request.

``users`` has the classes for a locustfile of one's own, ``locustfile`` is the one that ships,
``runner`` starts Locust as a subprocess. Only ``users``, ``shape`` and ``locustfile`` import
Locust, which patches the standard library for gevent as it is imported.
"""
