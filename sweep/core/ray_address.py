"""The address of a running Ray, checked by a plain connection first: joining a dead one blocks for minutes."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from sweep.core.errors import InputError

CONNECT_S = 3
_TUNNEL = "start or tunnel to the cluster (ray dashboard FILE, kubectl port-forward), or unset RAY_ADDRESS"
LOCAL = (None, "", "local")


def usable(address: str | None) -> str | None:
    """The address to join, $RAY_ADDRESS when none is given, None for a Ray of this machine; InputError when it cannot be joined."""
    address = address or os.environ.get("RAY_ADDRESS")
    if address in LOCAL:
        return None
    refuse_dead(address)
    refuse_dashboard(address)
    return address


def refuse_dead(address: str) -> None:
    """InputError within three seconds when nothing listens at `address`, or when it is no address."""
    if address == "auto":
        return
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as mistake:
        raise InputError("--address", f"{address} did not answer within {CONNECT_S} s ({mistake})", _TUNNEL) from None


def refuse_dashboard(address: str) -> None:
    """InputError when `address` is that of the dashboard, which takes jobs and runs no sweep by itself."""
    if urlsplit(address).scheme in ("http", "https"):
        fix = f"submit to it: python -m cluster.submit --address {address} -- python -m sweep.run SPACE (or ray job submit)"
        raise InputError("--address", f"{address} answers, but is the dashboard's address", fix)


def _host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(address if "://" in address else f"ray-address://{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise InputError("--address", f"{address!r} is not an address", "write it like 10.0.0.5:6379")
    return host, port
