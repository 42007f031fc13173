"""A twin of one Anaplan tenant: Integration API v2 for bulk loads, plus the reads a proof needs."""

from tieout.emulators.anaplan.tenant import AnaplanTenant
from tieout.emulators.kit import EmulatorFactory

EMULATOR: EmulatorFactory = AnaplanTenant
