"""What all tests rest on."""

from __future__ import annotations

import signal

from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control lets what it begins in the background ignore Ctrl-C, and so its children: tests
    # that send it would fail for how they were begun.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's affair: one pause of 0.2 s would fail whatever test it meets.
settings.register_profile("gameday", deadline=None)
settings.load_profile("gameday")
