"""Many requests at once: shared passes, a full queue, clients that go away, workers that die, the end."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from helpers.serving import SLOW_PASS, Server, request, serving
from helpers.tones import RATE, SECONDS_PER_CHARACTER

from vivavoce.serve import pool as pools

SLOW = "We go slowly."  # one piece
ENDLESS = "We go slowly, and we go on. " * 24  # several, 30 s of speech


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("pool")) as started:
        yield started


def many(server: Server, texts: list[str]) -> list[httpx2.Response]:
    """All of them at once."""
    with ThreadPoolExecutor(len(texts)) as threads:
        return list(threads.map(server.post, texts))


def later(server: Server, text: str) -> Future[httpx2.Response]:
    """An answer that is not waited for."""
    future: Future[httpx2.Response] = Future()

    def ask() -> None:
        try:
            future.set_result(server.post(text))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return future


def value(server: Server, name: str) -> float:
    return server.metrics.registry.get_sample_value(name) or 0.0


def seconds(answer: httpx2.Response) -> float:
    assert answer.status_code == 200, answer.text
    return len(answer.content) / 2 / RATE


def test_requests_at_once_share_passes_and_each_gets_its_own(server: Server) -> None:
    before = [value(server, f"vivavoce_pass_pieces_{what}") for what in ("count", "sum")]
    texts = [f"We go slowly{'!' * n}" for n in range(12)]
    answers = many(server, texts)
    passes, pieces = (
        value(server, f"vivavoce_pass_pieces_{what}") - was for what, was in zip(("count", "sum"), before, strict=True)
    )
    assert pieces == 12 and passes < 8
    for text, answer in zip(texts, answers, strict=True):
        assert seconds(answer) == pytest.approx(len(text) * SECONDS_PER_CHARACTER, abs=1e-3)


def test_a_piece_that_fails_does_not_harm_those_in_its_pass(server: Server) -> None:
    answers = many(server, [SLOW, "We go mutely.", "We are at fault.", SLOW])
    assert [answer.status_code for answer in answers] == [200, 422, 503, 200]


def test_a_short_request_does_not_wait_for_a_long_one(server: Server) -> None:
    long = later(server, ENDLESS)
    server.until(lambda: value(server, "vivavoce_active") == 1)
    assert server.post("Hello there.").status_code == 200
    assert not long.done()
    assert seconds(long.result(60)) > 25


def test_a_client_that_goes_away_stops_its_work(server: Server) -> None:
    with server.client() as client, client.stream("POST", "/v1/audio/speech", json=request(ENDLESS)) as answer:
        next(answer.iter_bytes())
    server.until(lambda: value(server, "vivavoce_active") == 0, SLOW_PASS * 8)
    done = value(server, "vivavoce_pass_pieces_count")
    time.sleep(2 * SLOW_PASS)
    assert value(server, "vivavoce_pass_pieces_count") <= done + 1  # the pass that was running


def test_a_client_that_goes_away_before_its_sound_stops_its_work(server: Server) -> None:
    with server.client() as client, pytest.raises(httpx2.ReadTimeout):
        client.post("/v1/audio/speech", json=request(SLOW), timeout=SLOW_PASS / 2)
    server.until(lambda: value(server, "vivavoce_active") == 0)
    assert seconds(server.post("Hello.")) > 0.2


def test_a_full_queue_is_429_and_says_when_to_ask_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_ACTIVE", 2)
    with serving(tmp_path, queue=1) as server:
        running = [later(server, ENDLESS[:330]) for _ in range(3)]
        server.until(lambda: value(server, "vivavoce_waiting") == 1)
        answer = server.post("Hello.")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["error"]["code"] == "queue_full"
        assert all(not one.done() for one in running)
        with server.client() as client:
            assert client.get("/healthz").status_code == 200  # it is busy, not ill
        server.until(lambda: server.post("Hello.").status_code == 200, 60)
        assert [one.result(60).status_code for one in running] == [200] * 3


def test_a_killed_worker_takes_its_requests_with_it_and_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        server.until(lambda: server.pool.ready == 2)
        pids = server.pool.pids
        others = [later(server, ENDLESS) for _ in range(2)]  # one for each worker
        server.until(lambda: value(server, "vivavoce_active") == 2)
        os.kill(pids[0], 9)
        ends = []
        for other in others:
            try:
                ends.append(other.result(60).status_code)
            except httpx2.RemoteProtocolError:  # its sound had begun: it must not look complete
                ends.append(503)
        assert sorted(ends) == [200, 503]
        assert max(len(o.result().content) for o in others if not o.exception()) > 25 * 2 * RATE
        server.until(lambda: server.pool.ready == 2)
        assert set(server.pool.pids) != set(pids)
        assert value(server, "vivavoce_worker_restarts_total") == 1
        assert all(answer.status_code == 200 for answer in many(server, ["Hello."] * 4))


def test_a_request_that_kills_its_worker_is_told_and_the_next_one_spoken(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        answer = server.post("We crash.")
        assert answer.status_code == 503 and "a new one is starting" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"] == "1"
        assert server.post("Hello.").status_code == 200  # waits for the new worker


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.pool.timeout = 0.5
        assert server.post("Hang on.").status_code == 503
        server.pool.timeout = 60.0
        assert server.post("Hello.").status_code == 200


def test_shutdown_finishes_what_runs_and_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_ACTIVE", 1)
    with serving(tmp_path) as server:
        running = [later(server, "We go slowly, and on. " * 6) for _ in range(2)]
        server.until(lambda: value(server, "vivavoce_waiting") == 1)
        server.stop()
        lengths = [seconds(one.result(60)) for one in running]
        assert lengths[0] == lengths[1] > 3
        server.thread.join(20)
        with pytest.raises(httpx2.ConnectError):
            server.post("Hello.")


def test_models_that_cannot_be_loaded_end_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no/such/model"), serving(tmp_path, None, models=("no/such/model",)):
        raise AssertionError("it started")


def test_events_come_one_by_one(server: Server) -> None:
    """The first is there long before the last."""
    asked = time.monotonic()
    times = []
    body = {**request("We go slowly, and on. " * 15), "stream_format": "sse"}
    with server.client() as client, client.stream("POST", "/v1/audio/speech", json=body) as answer:
        for line in answer.iter_lines():
            if line:
                times.append((time.monotonic() - asked, json.loads(line.removeprefix("data: "))["type"]))
    assert times[-1][1] == "speech.audio.done"
    assert len(times) > 2 and times[-1][0] - times[0][0] > SLOW_PASS * 0.9
