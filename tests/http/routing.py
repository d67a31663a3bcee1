"""Makes apps quickly. Every test here has one of its own, and half of the time went into its routes."""

from collections.abc import Callable, Hashable
from typing import Any

from werkzeug.routing import Rule


def compile_each_rule_once() -> None:
    """Keep what Werkzeug compiles to build the URLs of a rule, for the next app with the same rule.

    The functions hold nothing of an app: they get the rule as an argument. With another Werkzeug, nothing changes.
    """
    compile_builder: Callable[[Rule, bool], Any] | None = getattr(Rule, "_compile_builder", None)
    if compile_builder is None:
        return
    kept: dict[Hashable, Any] = {}

    def compile_once(rule: Rule, append_unknown: bool = True) -> Any:  # noqa: FBT001, FBT002 - Werkzeug's own signature
        if rule.defaults or rule.subdomain or rule.host:
            return compile_builder(rule, append_unknown)
        key = (rule.rule, rule.merge_slashes, append_unknown)
        if key not in kept:
            kept[key] = compile_builder(rule, append_unknown)
        return kept[key]

    Rule._compile_builder = compile_once  # type: ignore[method-assign]  # noqa: SLF001 - the tests' speed alone hangs on it
