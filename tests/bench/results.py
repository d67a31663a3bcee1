from bench.result import Aim, Machine, Peer, Result


def make_result(**changes: object) -> Result:
    """Of a run in which everything went well."""
    values: dict[str, object] = {
        "scenario": "place",
        "about": "POST /orders.",
        "seconds": 10.0,
        "orders": 0,
        "accepted_per_s": 4200.0,
        "completed_per_s": 4200.0,
        "ceiling_per_s": 6400.0,
        "ratio_to_ceiling": 0.6563,
        "unbatched_per_s": 1900.0,
        "ratio_to_unbatched": 2.211,
        "p50_ms": 14.0,
        "p99_ms": 41.0,
        "p999_ms": 55.0,
        "refused_or_broken": 0,
        "cpu_ms_per_order": {"total": 0.45, "api": 0.25, "postgresql": 0.15, "redis": 0.05, "rabbitmq": 0.0},
        "cores_busy": {"api": 0.97, "postgresql": 0.5, "redis": 0.1, "rabbitmq": 0.0, "load generator": 0.2},
        "memory_mb": {"api": 82.0, "postgresql": 130.0},
        "figures": {"empty_handler_cpu_ms": 0.16},
        "invariants": "kept",
        "reach": [Aim("of the ceiling: at least 0.65", "0.656", reached=True)],
        "peers": [Peer("a <peer> & friend", 440.0, "measured earlier on a like machine")],
        "machine": Machine(2, 24.0, "Debian", {"Python": "CPython 3.13", "database": "PostgreSQL 15"}),
    }
    return Result(**(values | changes))  # type: ignore[arg-type]
