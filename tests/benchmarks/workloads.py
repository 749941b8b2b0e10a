"""All workloads by their names, in the order of the table."""

from __future__ import annotations

from tests.benchmarks import (
    backlog,
    coroutines,
    cpu,
    executors,
    failing,
    imports,
    latency,
    memory,
    mixed,
    operations,
    producers,
    sync_jobs,
)

WORKLOADS = {
    workload.name: workload
    for workload in (
        sync_jobs.silent,
        sync_jobs.heard,
        coroutines.workload,
        latency.workload,
        memory.workload,
        backlog.workload,
        operations.workload,
        failing.workload,
        mixed.workload,
        producers.workload,
        imports.workload,
        cpu.workload,
        executors.workload,
    )
}
