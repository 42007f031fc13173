"""Profiles: the promise on money (PROMISES P4) is shown with `--hypothesis-profile promises`."""

from hypothesis import settings

settings.register_profile("promises", max_examples=20_000, deadline=None)
settings.register_profile("quick", max_examples=100, deadline=None)
settings.load_profile("quick")
