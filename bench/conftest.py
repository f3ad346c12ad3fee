"""pytest-benchmark: machine and kernel tier go into its JSON."""

from __future__ import annotations

from typing import Any

from bench import machine


def pytest_benchmark_update_machine_info(config: Any, machine_info: Any) -> None:
    """Add what `bench.compare` checks: the CPU with its stepping, and sutra's tier."""
    machine_info["sutra_bench"] = machine.describe()
