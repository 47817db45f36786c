"""What this machine has, what is missing, and the command that mends it."""

from workbench.doctor.check import Check
from workbench.doctor.looking import gpus, probe
from workbench.doctor.machine import Machine
from workbench.doctor.rules import checks

__all__ = ["Check", "Machine", "checks", "gpus", "probe"]
