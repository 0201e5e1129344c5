"""Pretrained weights from timm's hub; an unreachable hub is an error at once, never random weights."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlparse
from urllib.request import getproxies

from sweep.core.errors import InputError, first_line
from sweep.models.trunk import MESSAGE_LETTERS

T = TypeVar("T")


def from_hub(name: str, build: Callable[[], T]) -> T:
    """Run `build`, which downloads or reads the hub's cache; its failures become one InputError."""
    try:
        with _no_retries_when_offline():
            return build()
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, ImportError) as mistake:
        raise InputError(
            f"weights of {name}",
            f"ImageNet weights cannot be fetched ({first_line(mistake, MESSAGE_LETTERS)})",
            "go online once to fill the cache, or give weights: <path of a local .safetensors or .pth file>",
        ) from None


@contextmanager
def _no_retries_when_offline() -> Iterator[None]:
    """Restrict the hub client to its cache when its host has no address: it would retry for a minute."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _has_address(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _has_address(url: str) -> bool:
    if getproxies():  # a proxy resolves names itself
        return True
    try:
        return bool(socket.getaddrinfo(urlparse(url).hostname, 443))
    except OSError:
        return False
