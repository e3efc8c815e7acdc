"""What an address says by itself, without asking anybody."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether that host is this machine alone; an address of IPv6 may stand in brackets."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or re.fullmatch(r"127(\.\d{1,3}){0,2}", host) is not None  # short for 127.0.0.1
