"""An emulated NetSuite tenant, built from the vendor's published behaviour."""

from tieout.emulators.netsuite.emulator import NetSuiteEmulator

EMULATOR = NetSuiteEmulator

__all__ = ["EMULATOR"]
