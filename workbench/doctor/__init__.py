"""What this machine has, what is missing, and the command that mends it."""

from workbench.doctor.machine import Machine, gpus, probe
from workbench.doctor.rules import Check, checks

__all__ = ["Check", "Machine", "checks", "gpus", "probe"]
