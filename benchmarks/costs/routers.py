"""Routers that do as little as a router can."""

from typing import Any


class ConstantRouter:
    """The floor: each question has the same answer."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "default"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


class PrimaryRouter:
    """Names the primary of each model, as a site with several primaries has to, and is listed after ours."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"
