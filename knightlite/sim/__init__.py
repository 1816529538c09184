"""The simulated machine: executes the bytes of ``.cfg`` and ``.weight`` and nothing else."""

from knightlite.sim.clock import simulate_time
from knightlite.sim.machine import Machine

__all__ = ["Machine", "simulate_time"]
