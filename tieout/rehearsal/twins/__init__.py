"""Twins: how a rehearsal plays every system of a landscape, emulated or by an understudy."""
