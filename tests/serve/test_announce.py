"""Announcing a service on the local network."""

import asyncio

import pytest

pytest.importorskip("zeroconf")

from zeroconf import Zeroconf

from vivavoce.serve.announce import TYPE, announced, service


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("unix:///tmp/voice", "only a service at tcp://HOST:PORT can be announced, not unix:///tmp/voice"),
        ("tcp://127.0.0.1:10200", "cannot reach tcp://127.0.0.1:10200, .* listen at tcp://0.0.0.0:10200"),
    ],
)
def test_what_others_cannot_reach_is_not_announced(uri: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        service(uri)


def test_the_service_is_found_while_it_runs() -> None:
    info = service("tcp://192.0.2.7:10200")  # an address for examples

    async def look() -> list[str]:
        try:
            async with announced(info, ["127.0.0.1"]) as name:
                found = await asyncio.to_thread(query, name)
        except OSError as error:
            pytest.skip(f"no multicast here: {error}")
        return found

    def query(name: str) -> list[str]:
        client = Zeroconf(interfaces=["127.0.0.1"])
        try:
            seen = client.get_service_info(TYPE, f"{name}.{TYPE}", timeout=5_000)
        finally:
            client.close()
        return [] if seen is None else [*seen.parsed_addresses(), str(seen.port)]

    assert asyncio.run(look()) == ["192.0.2.7", "10200"]
