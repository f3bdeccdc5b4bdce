"""Announce a Wyoming service on the local network by multicast DNS, so that Home Assistant discovers it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from zeroconf import InterfaceChoice, NonUniqueNameException, get_all_addresses, get_all_addresses_v6
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

TYPE = "_wyoming._tcp.local."  # what Home Assistant looks for


def service(uri: str) -> AsyncServiceInfo:
    """Return the announcement of a service at tcp://HOST:PORT. Raises ValueError if other machines cannot reach it."""
    parts = urlsplit(uri)
    if parts.scheme != "tcp" or not parts.hostname or not parts.port:
        raise ValueError(f"only a service at tcp://HOST:PORT can be announced, not {uri}")
    addresses = _addresses(parts.hostname, parts.port)
    if not addresses:
        raise ValueError(
            f"other machines cannot reach {uri}, so it cannot be announced; listen at tcp://0.0.0.0:{parts.port}"
        )
    host = socket.gethostname().partition(".")[0][:40] or "host"
    return AsyncServiceInfo(
        TYPE, f"vivavoce-{host}.{TYPE}", port=parts.port, parsed_addresses=addresses, server=f"{host}.local."
    )


@contextlib.asynccontextmanager
async def announced(info: AsyncServiceInfo, interfaces: Any = InterfaceChoice.All) -> AsyncIterator[str]:
    """Announce a service for as long as the context lasts. Yields its name, with a number if another one has it.

    Raises OSError if the network has no multicast.
    """
    running = AsyncZeroconf(interfaces=interfaces)
    try:
        try:
            await (await running.async_register_service(info, allow_name_change=True))
        except NonUniqueNameException as error:
            raise OSError(str(error)) from None
        yield info.name.removesuffix(f".{TYPE}")
        await running.async_unregister_all_services()
    finally:
        await running.async_close()


def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses under which other machines reach a host of this machine."""
    if host in ("0.0.0.0", "::"):
        found = get_all_addresses() if host == "0.0.0.0" else [str(a[0]) for a, _ in get_all_addresses_v6()]
    else:
        try:
            found = [str(place[4][0]) for place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise ValueError(f"unknown host {host!r}: {error.strerror or error}") from None
    known = dict.fromkeys(ipaddress.ip_address(address.partition("%")[0]) for address in found)
    return [
        str(address)
        for address in known
        if not address.is_loopback and not (address.version == 6 and address.is_link_local)
    ]
