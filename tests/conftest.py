"""What all tests rest on."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control lets what it begins in the background ignore Ctrl-C, and so its children: tests
    # that send it would fail for how they were begun.
    signal.signal(signal.SIGINT, signal.default_int_handler)
