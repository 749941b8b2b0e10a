"""The figures for programs, and what they were measured on for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from tests.benchmarks.contest import OURS, Outcome, Workload


def machine() -> str:
    """What it ran on, in a line."""
    return (
        f"{OURS} {version(OURS)}, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )


def missing(workloads: Iterable[Workload]) -> list[str]:
    """The modules of peers that are not installed here."""
    contenders = (each for workload in workloads for each in workload.contenders)
    return sorted({str(each.needs) for each in contenders if not each.is_installed})


def record(
    outcomes: Sequence[Outcome], *, short: bool, not_installed: Sequence[str]
) -> dict[str, Any]:
    """All of it, fit for JSON: every value of every round."""
    workloads: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        workloads.setdefault(outcome.workload, {})[outcome.key] = entry(outcome)
    return {
        "machine": machine(),
        "short": short,
        "missing": list(not_installed),
        "workloads": workloads,
    }


def entry(outcome: Outcome) -> dict[str, Any]:
    """One figure. A ratio is the peer's value by ours."""
    figure = outcome.figure
    return {
        "title": figure.title,
        "unit": figure.unit,
        "at_most": figure.at_most,
        "contenders": {
            name: {"median": outcome.value(name), "rounds": list(values)}
            for name, values in outcome.values.items()
        },
        "ratios": {peer: against(outcome, peer) for peer in outcome.peers},
    }


def against(outcome: Outcome, peer: str) -> dict[str, Any]:
    """How we stand beside one peer."""
    ratio, goal = outcome.ratio(peer), outcome.figure.goals.get(peer)
    return {
        "median": ratio.median,
        "lowest": ratio.lowest,
        "highest": ratio.highest,
        "goal": None if goal is None else goal.at_least,
        "aim": None if goal is None else goal.aim,
        "reached": None if goal is None else goal.is_reached(ratio.median),
    }
