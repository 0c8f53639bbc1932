"""The boards, one a module; each has ``UID`` and ``build``."""
