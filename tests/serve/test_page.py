"""The server's page in a browser: what its user hears, sees, and does with the mouse, the keys and on a phone."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import stand_in_training
from helpers.abilities import MODELS, able
from helpers.own_voice import write_recordings
from helpers.serving import Server, serving
from helpers.tones import RATE

from vivavoce.train_voice import studio
from vivavoce.train_voice.scripts import read_script
from vivavoce.voices import VARIABLE, Voice

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra browser-test)")
expect = playwright.expect

pytestmark = pytest.mark.slow

TEXT = "Good morning. Shall we begin?"
LONG = (
    "The sun had gone down behind the hills, and the valley lay in shadow. Nobody spoke for a long time. At last the "
    "old man rose, took his hat from the table, and went slowly to the door. The road was empty. They walked on until "
    "the first houses came into sight, and there they stopped."
)

# Notes what reaches the loudspeaker, when each buffer begins and whether more was being made, and which words were lit.
SPY = """
    window.heard = {starts: [], lit: [], loudest: 0};
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when) {
        const making = document.getElementById("download").disabled;
        heard.starts.push({when, seconds: this.buffer.duration, making});
        return start.apply(this, arguments);
    };
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (to) {
        if (to === this.context.destination) {
            const analyser = new AnalyserNode(this.context);
            const wave = new Float32Array(analyser.fftSize);
            connect.call(this, analyser);
            setInterval(() => {
                analyser.getFloatTimeDomainData(wave);
                heard.loudest = wave.reduce((most, x) => Math.max(most, Math.abs(x)), heard.loudest);
            }, 20);
        }
        return connect.apply(this, arguments);
    };
    new MutationObserver((changes) => {
        for (const { target } of changes) {
            if (target.classList.contains("lit") && heard.lit.at(-1) !== target) heard.lit.push(target);
        }
    }).observe(document, {subtree: true, attributeFilter: ["class"]});
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page"), max_chars=400) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium or another one on PATH, or that which Playwright downloads. Its microphone is a beep."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as play:
        if path is None and not Path(play.chromium.executable_path).exists():
            pytest.skip(f"there is no browser: none of {', '.join(names)} is on PATH, nor has Playwright its own")
        fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        launched = play.chromium.launch(executable_path=path, args=fake)
        yield launched
        launched.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(server: Server, browser: Any) -> Iterator[Open]:
    """Opens the page as in a browser of its own. Nothing may go wrong unseen, nor come from another host."""
    contexts, faults = [], []

    def request(asked: Any) -> None:
        if not asked.url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:")):
            faults.append(f"asked for {asked.url}")

    def open(url: str = server.url, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        context.add_init_script(SPY)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if "Security Policy" in said.text else None)
        page.on("request", request)
        page.goto(url)
        return page

    yield open
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(opened: Open) -> Any:
    shown = opened()
    expect(shown.locator("#voices input")).to_have_count(5)
    return shown


def until(page: Any, true: str, seconds: float = 20.0) -> None:
    """Wait for a condition in JavaScript (Playwright's own way evaluates a string, which the page's policy forbids)."""
    for _ in range(round(seconds / 0.05)):
        if page.evaluate(true):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"it did not happen: {true}")


def say(page: Any, text: str) -> None:
    """Type a text and have it spoken, to the end of its making."""
    page.fill("#text", text)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("generated in", timeout=20_000)


def downloaded(page: Any) -> bytes:
    with page.expect_download() as download:
        page.click("#download")
    return Path(download.value.path()).read_bytes()


def newest(page: Any) -> dict[str, Any]:
    """The history's first entry."""
    return json.loads(page.evaluate("localStorage.getItem('vivavoce.history')"))[0]


def voice_file(folder: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000)
    path = folder / "me.wav"
    soundfile.write(path, noise, 16_000)
    return path


# --- speech -----------------------------------------------------------------------------------------------------------


def test_speech_is_heard_while_it_is_made_without_a_gap_and_its_words_are_lit(page: Any, server: Server) -> None:
    page.locator("#speed").fill("1")
    expect(page.locator("#speed-shown")).to_have_text("2×")
    say(page, LONG)
    expect(page.locator("#stop")).to_be_hidden(timeout=20_000)  # it was heard to the end
    heard = page.evaluate("({...heard, lit: heard.lit.map((word) => word.textContent)})")
    assert heard["loudest"] > 0.05
    assert heard["starts"][0]["making"]
    starts, lengths = ([start[key] for start in heard["starts"]] for key in ("when", "seconds"))
    assert len(starts) > 2
    assert all(b >= a + s - 1e-6 for a, s, b in zip(starts, lengths, starts[1:], strict=False))
    # each follows its predecessor on the sample, but for one that had to be waited for
    gaps = [b - a - s for a, s, b in zip(starts, lengths, starts[1:], strict=False)]
    assert sum(gap > 1e-6 for gap in gaps) <= 1
    assert page.locator("#words").inner_text().split() == LONG.split()
    assert len(heard["lit"]) > len(LONG.split()) / 2  # a frame may be too late for a word
    assert [word for word in LONG.split() if word in heard["lit"]][:3] == heard["lit"][:3]


def test_the_bundled_model_is_heard(opened: Open, tmp_path: Path) -> None:
    with serving(tmp_path, None) as bundled:
        page = opened(bundled.url)
        page.fill("#text", TEXT)
        page.click("#speak")
        expect(page.locator("#status")).to_contain_text("generated in", timeout=60_000)
        until(page, "heard.loudest > 0.05 && heard.lit.length > 1")
        samples, _ = soundfile.read(io.BytesIO(downloaded(page)))
    assert 1.0 < len(samples) / RATE < 5.0
    assert np.abs(samples).max() > 0.1


def test_what_is_downloaded_is_what_the_server_made(page: Any, server: Server) -> None:
    page.check("#voices input[value=orion]", force=True)
    say(page, TEXT)
    made = newest(page)
    assert (made["voice"], made["speed"], made["model"], made["lang"]) == ("orion", 1, "nanospeech", "en")
    samples, rate = soundfile.read(io.BytesIO(downloaded(page)), dtype="int16")
    expected = np.frombuffer(server.post(TEXT, voice="orion", seed=made["seed"]).content, "<i2")
    assert rate == RATE
    assert np.array_equal(samples, expected)
    page.select_option("#format", "mp3")
    samples, _ = soundfile.read(io.BytesIO(downloaded(page)))
    assert np.abs(samples).max() > 0.1
    assert len(samples) == pytest.approx(len(expected), abs=3_000)


def test_the_waveform_is_drawn_and_can_be_moved_in(page: Any) -> None:
    say(page, LONG)
    page.click("#play")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    drawn = "wave.getContext('2d').getImageData(0, 0, wave.width, wave.height).data.filter((x) => x).length"
    assert page.evaluate(drawn) > 1_000
    page.locator("#seek").fill("5")
    expect(page.locator("#now")).to_have_text("0:05")
    lit = page.locator(".lit").inner_text()
    assert lit in LONG.split()[10:25]
    page.click("#play")
    until(page, "parseFloat(seek.value) > 5.2")
    page.click(".word >> nth=0")
    until(page, "parseFloat(seek.value) < 5")


def test_what_was_generated_is_never_generated_again(page: Any, server: Server) -> None:
    def spoken() -> float:
        value = server.metrics.registry.get_sample_value("vivavoce_characters_total")
        return value or 0.0

    say(page, TEXT)
    first, before = downloaded(page), spoken()
    assert before > 0
    for format in ("mp3", "opus", "flac"):
        page.select_option("#format", format)
        samples, rate = soundfile.read(io.BytesIO(downloaded(page)))
        assert len(samples) / rate == pytest.approx((len(first) - 44) / 2 / RATE, abs=0.15)
    page.reload()
    expect(page.locator("#voices input")).to_have_count(5)
    page.click("text=Play again")
    expect(page.locator("#status")).to_contain_text("stored in this browser")
    expect(page.locator(".word")).to_have_count(len(TEXT.split()))
    page.select_option("#format", "wav")
    assert downloaded(page) == first and spoken() == before


def test_seed_and_steps_are_under_more(page: Any, server: Server) -> None:
    expect(page.locator("#seed")).to_be_hidden()
    page.click("#more > summary")
    page.fill("#seed", "-1")
    page.fill("#text", TEXT)
    page.click("#speak")
    expect(page.locator("#seed-error")).to_contain_text("whole number")
    page.fill("#seed", "7")
    expect(page.locator("#seed-error")).to_be_empty()
    page.fill("#steps", "5")
    say(page, TEXT)
    assert (newest(page)["seed"], newest(page)["steps"]) == (7, 5)
    samples, _ = soundfile.read(io.BytesIO(downloaded(page)), dtype="int16")
    assert np.array_equal(samples, np.frombuffer(server.post(TEXT, seed=7, steps=5).content, "<i2"))


def test_each_voice_has_a_sample(page: Any, server: Server) -> None:
    page.evaluate("heard.samples = 0")
    page.evaluate("""() => {
        const play = HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () { heard.samples++; return play.apply(this); };
    }""")
    page.click("#sample-of-orion")
    until(page, "heard.samples === 1")
    before = server.metrics.registry.get_sample_value("vivavoce_characters_total")
    page.click("#sample-of-orion")
    until(page, "heard.samples === 2")
    assert server.metrics.registry.get_sample_value("vivavoce_characters_total") == before
    expect(page.locator("#voices input[value=celeste]")).to_be_checked()


def test_a_file_is_read_chapter_by_chapter(page: Any, opened: Open, tmp_path: Path) -> None:
    book = "# The first\n\nGood morning.\n\n# The second\n\nShall we begin? " + "Nobody spoke. " * 30
    page.set_input_files("#book-file", {"name": "story.md", "mimeType": "text/markdown", "buffer": book.encode()})
    expect(page.locator("#book-title")).to_have_text("story", timeout=30_000)  # a process reads it
    expect(page.locator("#chapters button")).to_have_text(["The first", "The second"])
    page.click("#book-read")
    expect(page.locator("#book-status")).to_have_text("Chapter 2 of 2", timeout=20_000)
    expect(page.locator("#chapters [aria-current]")).to_have_text("The second")
    expect(page.locator("#status")).to_contain_text("generated in", timeout=20_000)  # more than one request
    words = page.locator("#words").inner_text().split()
    assert words[:2] == ["The", "second"] and words.count("spoke.") == 30
    until(page, "document.getElementById('book-progress').value > 0.1")
    assert page.locator("#history li").count() == 0
    page.click("#book-read")
    expect(page.locator("#book-read")).to_have_text("Continue")
    page.reload()
    expect(page.locator("#chapters [aria-current]")).to_have_text("The second")
    page.click("#chapters button >> nth=0")
    expect(page.locator("#status")).to_contain_text("stored in this browser")
    page.click("#book-close")
    expect(page.locator("#book")).to_be_hidden()

    page.set_input_files("#book-file", {"name": "empty.txt", "mimeType": "text/plain", "buffer": b" "})
    expect(page.locator("#text-error")).to_contain_text("empty.txt is empty", timeout=30_000)
    page.evaluate("""() => {
        const files = new DataTransfer();
        files.items.add(new File(["Good morning."], "dropped.txt"));
        composer.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
    }""")
    expect(page.locator("#book-title")).to_have_text("dropped", timeout=30_000)


def test_stop_ends_the_making_and_the_sound(page: Any, server: Server) -> None:
    page.fill("#text", "It goes slowly. " * 12)
    page.click("#speak")
    until(page, "heard.starts.length > 0")
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Stopped.")
    expect(page.locator("#stop")).to_be_hidden()
    stopped, chunks = page.evaluate("[seek.value, heard.starts.length]")
    page.wait_for_timeout(600)
    assert page.evaluate("[seek.value, heard.starts.length]") == [stopped, chunks]


# --- prosody ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def able_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose models can more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WHISPER", "base.pt")  # not read by the stand-ins
        with serving(tmp_path_factory.mktemp("able"), able, models=MODELS) as started:
            yield started


def test_energy_and_pace_have_sliders_and_are_not_forgotten(page: Any, server: Server) -> None:
    page.click("#prosody > summary")
    for name, there in (("energy", True), ("pace", True), ("pitch", False), ("pitch_range", False), ("style", False)):
        assert page.locator(f"#{name}").is_visible() == there
    page.locator("#energy").fill("3")
    page.locator("#pace").fill("0.9")
    expect(page.locator("#energy-shown")).to_have_text("+3 dB")
    expect(page.locator("#prosody-shown")).to_have_text("energy +3 dB, pace 0.9×")
    say(page, TEXT)
    first, made = downloaded(page), newest(page)
    assert (made["energy"], made["pace"]) == (3, 0.9) and "pitch" not in made
    samples, _ = soundfile.read(io.BytesIO(first), dtype="int16")
    expected = np.frombuffer(server.post(TEXT, voice="celeste", seed=made["seed"], energy=3, pace=0.9).content, "<i2")
    assert np.array_equal(samples, expected)
    expect(page.locator("#history .hint")).to_contain_text("energy +3 dB · pace 0.9×")
    page.click("#prosody-reset")
    expect(page.locator("#prosody-reset")).to_be_hidden()
    say(page, "Another one.")
    assert "energy" not in newest(page)
    page.reload()
    page.click("#history li >> nth=1 >> text=Play again")
    expect(page.locator("#status")).to_contain_text("stored in this browser")
    expect(page.locator("#energy")).to_have_value("3")
    assert downloaded(page) == first

    page.locator("#speed").fill("-2")  # together slower than the model can
    page.click("#speak")
    expect(page.locator("#pace-error")).to_contain_text("speed is 0.25 and pace is 0.9")
    page.locator("#pace").fill("1")
    expect(page.locator("#pace-error")).to_be_empty()


def test_a_model_with_conditions_has_all_sliders_and_styles(opened: Open, able_server: Server) -> None:
    page = opened(able_server.url)
    expect(page.locator("#model option")).to_have_count(3)
    asked: list[dict[str, Any]] = []
    page.on("request", lambda r: asked.append(r.post_data_json) if r.url.endswith("/v1/audio/speech") else None)
    page.select_option("#model", "lively")
    page.click("#prosody > summary")
    for name in ("style", "pitch", "pitch_range", "energy", "pace"):
        assert page.locator(f"#{name}").is_visible()
    page.select_option("#style", "calm")
    values = {"pitch": -0.5, "pitch_range": 0.8, "energy": -2, "pace": 0.92}
    assert {name: float(page.locator(f"#{name}").input_value()) for name in values} == values
    expect(page.locator("#prosody-shown")).to_have_text("calm")
    expect(page.locator("#pitch-shown")).to_have_text("−0.5 semitones")
    say(page, TEXT)
    assert {name: asked[-1].get(name) for name in values} == values
    page.locator("#pitch").fill("2")
    expect(page.locator("#style")).to_have_value("own")
    expect(page.locator("#prosody-shown")).to_contain_text("pitch +2 semitones, range 0.8×")
    page.select_option("#style", "lively")
    page.select_option("#style", "")
    expect(page.locator("#prosody-shown")).to_be_empty()
    page.locator("#pitch").fill("2")
    page.locator("#pace").fill("0.9")
    page.select_option("#model", "nanospeech")  # it follows no pitch
    expect(page.locator("#prosody-shown")).to_have_text("pace 0.9×")
    say(page, TEXT)
    assert "pitch" not in asked[-1] and asked[-1]["pace"] == 0.9


# --- voice conversion -------------------------------------------------------------------------------------------------


def speech_file(folder: Path, seconds: float = 2.0) -> Path:
    time = np.arange(round(seconds * RATE)) / RATE
    path = folder / "somebody.wav"
    soundfile.write(path, 0.3 * time / seconds * np.sin(2 * np.pi * 200 * time), RATE)
    return path


def test_a_recording_is_heard_in_another_voice(opened: Open, able_server: Server, tmp_path: Path) -> None:
    page = opened(able_server.url)
    page.click("#tab-convert")
    expect(page.locator("#speaking")).to_be_hidden()
    expect(page.locator("#converter option")).to_have_text(["lively", "letters"])
    expect(page.locator("#target option")).to_have_count(5)
    page.click("#convert")
    expect(page.locator("#source-error")).to_contain_text("choose a file")
    expect(page.locator("#source-consent-error")).to_contain_text("agrees")
    expect(page.locator("#said-error")).to_be_empty()  # this model needs no words
    wrong = {"name": "me.wav", "mimeType": "audio/wav", "buffer": b"<!doctype html>"}
    page.set_input_files("#source-file", wrong)
    expect(page.locator("#source-error")).to_contain_text("is not a recording")
    page.set_input_files("#source-file", {**wrong, "buffer": b"RIFF and nothing"})
    page.check("#source-consent")
    expect(page.locator("#source-consent-error")).to_be_empty()
    page.click("#convert")
    expect(page.locator("#source-error")).to_contain_text("cannot be decoded", timeout=20_000)
    assert page.locator("#converted").is_hidden()

    page.set_input_files("#source-file", str(speech_file(tmp_path)))
    expect(page.locator("#source-about")).to_have_text("somebody.wav")
    page.select_option("#target", "orion")
    page.evaluate("""() => {
        window.played = 0;
        const play = HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () { played++; return play.apply(this); };
    }""")
    page.click("#convert")
    expect(page.locator("#convert-status")).to_contain_text("2.0 s of speech, converted in", timeout=20_000)
    until(page, "played === 1 && Math.abs(document.getElementById('converted-player').duration - 2) < 0.05")
    for format in ("wav", "mp3"):
        page.select_option("#convert-format", format)
        with page.expect_download() as download:
            page.click("#convert-download")
        assert download.value.suggested_filename == f"somebody orion.{format}"
        samples, rate = soundfile.read(download.value.path())
        assert len(samples) / rate == pytest.approx(2.0, abs=0.15)
        assert np.abs(samples[: RATE // 4]).max() > 2 * np.abs(samples[3 * RATE // 4 : RATE]).max()
    page.click("#tab-speak")
    expect(page.locator("#text")).to_be_visible()
    page.click("#tab-convert")
    page.reload()
    expect(page.locator("#convert")).to_be_visible()


def test_the_words_of_a_recording_are_asked_for_where_they_are_needed(
    opened: Open, able_server: Server, tmp_path: Path
) -> None:
    page = opened(able_server.url)
    page.click("#tab-convert")
    page.select_option("#converter", "letters")
    expect(page.locator("#said-need")).to_have_text("(required by letters)")
    page.set_input_files("#source-file", str(speech_file(tmp_path)))
    page.check("#source-consent")
    page.click("#convert")
    expect(page.locator("#said-error")).to_contain_text("Write the words")
    expect(page.locator("#said")).to_be_focused()
    page.fill("#said", "Good morning.")
    expect(page.locator("#said-error")).to_be_empty()
    page.click("#convert")
    expect(page.locator("#convert-status")).to_contain_text("0.5 s of speech", timeout=20_000)
    expect(page.locator("#convert-notices")).to_have_text("pauses in the text have no effect")
    page.fill("#said", "a" * 5_000)
    page.click("#convert")
    expect(page.locator("#said-error")).to_contain_text("this server accepts at most 4096", timeout=20_000)


def test_a_voice_from_the_microphone_is_converted(opened: Open, able_server: Server) -> None:
    page = opened(able_server.url, permissions=["microphone"])
    page.click("#tab-convert")
    page.click("#source-record")
    expect(page.locator("#source-record-label")).to_have_text("Finish")
    until(page, "parseFloat(document.getElementById('source-seconds').textContent) >= 1")
    page.click("#tab-speak")  # the microphone is turned off
    page.click("#tab-convert")
    expect(page.locator("#source-record-label")).to_have_text("Record")
    page.click("#source-record")
    until(page, "parseFloat(document.getElementById('source-seconds').textContent) >= 1")
    page.click("#source-record")
    expect(page.locator("#source-about")).to_have_text("recording.wav")
    page.check("#source-consent")
    page.click("#convert")
    expect(page.locator("#convert-status")).to_contain_text("converted in", timeout=20_000)


def test_a_recording_that_is_too_large_is_refused_with_the_limit(
    opened: Open, able_server: Server, tmp_path: Path
) -> None:
    page = opened(able_server.url)
    page.click("#tab-convert")
    page.set_input_files("#source-file", str(speech_file(tmp_path, 240.0)))
    page.check("#source-consent")
    page.click("#convert")
    expect(page.locator("#source-error")).to_contain_text("this server accepts at most 10 MB", timeout=30_000)


def test_the_new_parts_fit_a_phone_and_have_names_for_their_controls(
    opened: Open, able_server: Server, tmp_path: Path
) -> None:
    page = opened(able_server.url, viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True)
    wide = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    page.select_option("#model", "lively")
    page.tap("#prosody > summary")
    page.select_option("#style", "calm")
    page.locator("#pitch").fill("2")
    assert page.evaluate(wide) == 360

    def check_names() -> None:
        for control in page.locator("button, input, select, textarea").all():
            if control.is_visible():
                box = control.bounding_box()
                assert box["x"] >= 0 and box["x"] + box["width"] <= 360
                assert control.evaluate(
                    "(e) => e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim()"
                )

    check_names()
    page.tap("#tab-convert")
    page.set_input_files("#source-file", str(speech_file(tmp_path)))
    page.check("#source-consent")
    page.tap("#convert")
    expect(page.locator("#convert-status")).to_contain_text("converted in", timeout=20_000)
    assert page.evaluate(wide) == 360
    check_names()


# --- errors -----------------------------------------------------------------------------------------------------------


def test_errors_are_shown_where_they_belong(page: Any, server: Server, tmp_path: Path) -> None:
    page.click("#speak")
    expect(page.locator("#text-error")).to_contain_text("Enter the text")
    expect(page.locator("#text")).to_be_focused()
    page.fill("#text", "a" * 401)
    expect(page.locator("#text-count")).to_have_text("401 of 400 characters")  # before anything is sent
    expect(page.locator("#text-error")).to_contain_text("at most 400 characters")
    page.click("#speak")
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#status")).to_be_empty()
    page.fill("#text", "It is mute.")
    page.click("#speak")
    expect(page.locator("#form-error")).to_contain_text("silence")
    expect(page.locator("#text-error")).to_be_empty()
    assert page.locator("#result").is_hidden()
    assert page.locator("#history li").count() == 0

    with server.client() as client:  # a voice that somebody deletes while the page is open
        files = {"audio": ("me.wav", voice_file(tmp_path).read_bytes(), "audio/wav")}
        voice = client.post("/v1/audio/voices", data={"name": "me", "consent": "true"}, files=files).json()["id"]
        page.reload()
        page.check(f"#voices input[value={voice}]", force=True)
        client.delete(f"/v1/audio/voices/{voice}")
    page.fill("#text", TEXT)
    page.click("#speak")
    expect(page.locator("#voice-error")).to_contain_text("unknown voice")


def test_speech_that_breaks_off_is_kept_and_said_to_be_so(page: Any) -> None:
    page.fill("#text", f"{LONG} Now it is mute.")
    page.click("#speak")
    expect(page.locator("#form-error")).to_contain_text("silence", timeout=20_000)
    assert page.locator(".word").count() > 20
    samples, _ = soundfile.read(io.BytesIO(downloaded(page)))
    assert len(samples) > 5 * RATE


def test_what_is_not_spoken_as_written_is_told(page: Any) -> None:
    say(page, "A ☃ here.")
    expect(page.locator("#notices")).to_contain_text("☃")


def test_a_key_is_asked_for_and_kept(opened: Open, tmp_path: Path) -> None:
    with serving(tmp_path, api_key="open sesame") as locked:
        page = opened(locked.url)
        expect(page.locator("#key")).to_be_focused()
        page.keyboard.type("open")
        page.keyboard.press("Enter")
        expect(page.locator("#key-error")).to_contain_text("missing or wrong API key")
        page.fill("#key", "open sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#voices input")).to_have_count(5)
        expect(page.locator("#key-form")).to_be_hidden()
        page.reload()
        say(page, TEXT)
        assert "sesame" not in page.evaluate("JSON.stringify(localStorage)")


# --- by keys, in the dark, on a phone ---------------------------------------------------------------------------------


def test_everything_is_reached_and_done_by_keys(page: Any) -> None:
    page.focus("#text")
    page.keyboard.type(TEXT)
    page.keyboard.press("Tab")
    expect(page.locator("#voices input[value=celeste]")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#voices input[value=luna]")).to_be_checked()
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style not in ("none", "hidden"), f"the focus on {reached[-1]} is not seen"
    assert reached == ["sample-of-luna", "add", "speed", "model", "lang", "", "", "speak"]  # "": Prosody, More
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("generated in")
    assert newest(page)["voice"] == "luna"
    page.focus("#stop")
    page.keyboard.press("Escape")
    expect(page.locator("#speak")).to_be_focused()  # the button that had the focus is gone
    page.focus("#add")
    page.keyboard.press("Enter")
    expect(page.locator("#voice-name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#add")).to_be_focused()


def test_every_control_has_a_name(page: Any) -> None:
    say(page, TEXT)
    page.click("#add")
    for control in page.locator("button, input, select, textarea").all():
        if control.is_visible():
            assert control.evaluate("(e) => e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim()")


def luminance(page: Any, selector: str, what: str) -> float:
    """0 (black) to 1, as WCAG 2 has it."""
    colour = page.locator(selector).evaluate(f"(e) => getComputedStyle(e).{what}")
    parts = np.array([float(x) for x in colour.split("(")[1].rstrip(")").split(",")[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(opened: Open, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    page.click("#speak")
    say(page, LONG)
    until(page, "document.querySelector('.lit')")
    page.click("#play")
    page.wait_for_timeout(200)  # the word's colour comes softly
    paper, card = luminance(page, "html", "backgroundColor"), luminance(page, "#composer", "backgroundColor")
    assert (paper < 0.1) == (card < 0.1) == (scheme == "dark")
    pairs = [
        (luminance(page, selector, "color"), behind)
        for selector, behind in {
            "#text": luminance(page, "#text", "backgroundColor"),
            "#text-count": card,
            "#text-error": card,
            "#history .hint": paper,
            "#history .quiet >> nth=0": paper,
            "#speak": luminance(page, "#speak", "backgroundColor"),
            ".lit": luminance(page, ".lit", "backgroundColor"),
        }.items()
    ]
    for pair in pairs:
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 4.5


def test_a_phone_shows_everything_without_scrolling_sideways(opened: Open) -> None:
    page = opened(viewport={"width": 320, "height": 600}, has_touch=True, is_mobile=True)
    wide = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    page.fill("#text", f"{'incomprehensibilities' * 4} {TEXT}")
    page.tap("#speak")
    expect(page.locator("#status")).to_contain_text("generated in")
    assert page.evaluate(wide) == 320
    for id in ("text", "speak", "play", "seek", "download", "history"):
        box = page.locator(f"#{id}").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 320, id
    page.tap("#add")
    box = page.locator("#adding").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 320
    assert page.evaluate("adding.scrollWidth <= adding.clientWidth")


def test_six_voices_keep_their_borders_on_a_phone(opened: Open, server: Server, tmp_path: Path) -> None:
    with server.client() as client:
        files = {"audio": ("me.wav", voice_file(tmp_path).read_bytes(), "audio/wav")}
        voice = client.post("/v1/audio/voices", data={"name": "me", "consent": "true"}, files=files).json()["id"]
        page = opened(viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True)
        expect(page.locator("#voices input")).to_have_count(6)
        frame = page.locator("#composer").bounding_box()
        boxes = [label.bounding_box() for label in page.locator(".voice label").all()]
        boxes.append(page.locator("#add").bounding_box())
        client.delete(f"/v1/audio/voices/{voice}")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("(({scrollHeight, clientHeight}) => scrollHeight <= clientHeight)(voices.parentElement)")
    for box in boxes:
        assert box["x"] > frame["x"] and box["x"] + box["width"] < frame["x"] + frame["width"]


def test_a_long_text_scrolls_inside_its_box(page: Any) -> None:
    page.fill("#text", "A line.\n" * 45)
    box = page.locator("#text").bounding_box()
    assert box["height"] <= 0.61 * page.viewport_size["height"]
    assert page.evaluate("text.scrollHeight > text.clientHeight && getComputedStyle(text).overflowY == 'auto'")


# --- history and voices -----------------------------------------------------------------------------------------------


def test_history_survives_a_reload_and_sounds_the_same_again(page: Any) -> None:
    page.check("#voices input[value=rhea]", force=True)
    page.locator("#speed").fill("1")
    say(page, TEXT)
    first = downloaded(page)
    page.check("#voices input[value=nash]", force=True)
    page.locator("#speed").fill("0")
    say(page, "Another one.")
    page.reload()
    expect(page.locator("#history .said")).to_have_text(["Another one.", TEXT])
    expect(page.locator("#voices input[value=nash]")).to_be_checked()
    page.click("#history li >> nth=1 >> text=Play again")
    expect(page.locator("#status")).to_contain_text("stored in this browser")
    expect(page.locator("#text")).to_have_value(TEXT)
    expect(page.locator("#history .said")).to_have_text([TEXT, "Another one."])
    assert downloaded(page) == first
    page.click("#history li >> nth=0 >> [aria-label^=Remove]")
    expect(page.locator("#history .said")).to_have_text(["Another one."])
    page.click("#clear")
    page.reload()
    expect(page.locator("#history-empty")).to_be_visible()


def test_a_voice_is_added_from_a_file_with_consent_and_deleted(page: Any, server: Server, tmp_path: Path) -> None:
    page.click("#add")
    page.click("#adding-submit")
    for field in ("voice-name", "recording", "consent"):
        expect(page.locator(f"#{field}-error")).not_to_be_empty()
    page.fill("#voice-name", "nash")
    expect(page.locator("#voice-name-error")).to_be_empty()  # the field is right now
    html = {"name": "page.html", "mimeType": "text/html", "buffer": b"<!doctype html>"}
    for wrong in (html, {**html, "name": "me.wav", "mimeType": "audio/wav"}):
        page.set_input_files("#file", wrong)
        expect(page.locator("#recording-error")).to_contain_text("is not a recording")
    expect(page.locator("#preview")).to_be_hidden()
    page.set_input_files("#file", {"name": "me.wav", "mimeType": "audio/wav", "buffer": b"RIFF and nothing"})
    page.check("#consent")
    expect(page.locator("#consent-error")).to_be_empty()
    page.click("#adding-submit")
    expect(page.locator("#voice-name-error")).to_contain_text("built-in voice")
    page.fill("#voice-name", "<b>me</b>")
    page.click("#adding-submit")
    expect(page.locator("#recording-error")).to_contain_text("cannot be decoded", timeout=20_000)
    page.set_input_files("#file", str(voice_file(tmp_path)))
    page.click("#adding-submit")
    expect(page.locator("#adding")).to_be_hidden(timeout=20_000)
    expect(page.locator("#voice-status")).to_contain_text("<b>me</b> was added")
    with server.client() as client:
        (voice,) = [v for v in client.get("/v1/audio/voices").json()["data"] if v["type"] != "builtin"]
    expect(page.locator(f"#voices input[value={voice['id']}]")).to_be_checked()
    say(page, TEXT)
    assert newest(page)["voice"] == voice["id"]

    page.once("dialog", lambda asked: asked.dismiss())
    page.click("#voices .remove")
    expect(page.locator("#voices input")).to_have_count(6)
    page.once("dialog", lambda asked: asked.accept())
    page.click("#voices .remove")
    expect(page.locator("#voices input")).to_have_count(5)
    with server.client() as client:
        assert all(v["type"] == "builtin" for v in client.get("/v1/audio/voices").json()["data"])
    page.click("text=Play again")  # no other voice in its place
    expect(page.locator("#voice-error")).to_contain_text("no longer exists")


def test_a_voice_is_added_by_recording(opened: Open, server: Server) -> None:
    page = opened(permissions=["microphone"])
    page.click("#add")
    page.fill("#voice-name", "beeps")
    page.click("#record")
    expect(page.locator("#record-label")).to_have_text("Finish")
    until(page, "parseFloat(recorded.textContent) >= 1.5")
    page.click("#record")
    expect(page.locator("#recording-about")).to_have_text("recording.wav")
    page.check("#consent")
    page.click("#adding-submit")
    expect(page.locator("#adding")).to_be_hidden(timeout=20_000)
    expect(page.locator("#voices strong")).to_contain_text(["beeps"])
    with server.client() as client:
        (voice,) = [v for v in client.get("/v1/audio/voices").json()["data"] if v["type"] != "builtin"]
        client.delete(f"/v1/audio/voices/{voice['id']}")


def test_a_large_recording_is_made_small_before_it_is_sent(page: Any, server: Server, tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((40 * 48_000, 2))
    soundfile.write(tmp_path / "large.wav", noise, 48_000, subtype="PCM_24")
    assert (tmp_path / "large.wav").stat().st_size > 10e6  # the server's limit
    page.click("#add")
    page.fill("#voice-name", "large")
    page.set_input_files("#file", str(tmp_path / "large.wav"))
    page.check("#consent")
    page.click("#adding-submit")
    expect(page.locator("#voice-status")).to_contain_text("large was added", timeout=30_000)
    with server.client() as client:
        (voice,) = [v for v in client.get("/v1/audio/voices").json()["data"] if v["type"] != "builtin"]
        client.delete(f"/v1/audio/voices/{voice['id']}")


# --- the studio -------------------------------------------------------------------------------------------------------


@pytest.fixture
def studio_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with the studio, whose training is a stand-in."""
    monkeypatch.setattr(studio, "COMMAND", (sys.executable, stand_in_training.__file__))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "voices"))
    with serving(tmp_path, studio=True, studio_folder=str(tmp_path / "studio")) as started:
        yield started


def people(root: Path, folder: Path) -> list[Path]:
    """Recordings with their words beside them, as a user drops them."""
    return sorted(write_recordings(root, folder, count=4).iterdir())


def test_a_voice_is_recorded_trained_and_used_in_the_studio(
    opened: Open, studio_server: Server, tmp_path: Path, root: Path
) -> None:
    page = opened(studio_server.url, permissions=["microphone"])
    page.click("#tab-studio")
    expect(page.locator("#speaking")).to_be_hidden()
    expect(page.locator("#project-parts")).to_be_hidden()
    page.fill("#project-name", "nash")
    page.keyboard.press("Enter")
    expect(page.locator("#project-name-error")).to_contain_text("built-in")
    page.fill("#project-name", "me")
    page.keyboard.press("Enter")
    expect(page.locator("#sentence-place")).to_have_text("1 of 200")
    first = page.locator("#sentence").inner_text()
    assert first == read_script("50")[0]

    # a sentence from the microphone, which beeps: stored, with what is wrong with it
    page.click("#take")
    expect(page.locator("#take-label")).to_have_text("Finish")
    until(page, "parseFloat(document.getElementById('take-seconds').textContent) >= 1.0")
    page.click("#take")
    expect(page.locator("#takes-about")).to_contain_text("1 recording", timeout=20_000)
    expect(page.locator("#take-faults li").first).not_to_be_empty()
    expect(page.locator("#take-label")).to_have_text("Record again")
    expect(page.locator("#sentence-place")).to_have_text("1 of 200, recorded")
    page.click("#after")
    expect(page.locator("#sentence")).not_to_have_text(first)

    # too little, then files with their words, and one that is no recording
    page.fill("#training-consent", "I am the speaker and agree. 1 May 2026.")
    page.click("#train")
    expect(page.locator("#training-consent-error")).to_contain_text("agrees")
    page.check("#training-agreed")
    page.click("#train")
    expect(page.locator("#training-error")).to_contain_text("at least")
    (tmp_path / "page.html").write_text("<!doctype html>")
    files = [*people(root, tmp_path / "recordings"), tmp_path / "page.html"]
    page.set_input_files("#take-files", [str(path) for path in files])
    expect(page.locator("#take-status")).to_have_text("4 of 5 files were added.", timeout=60_000)
    expect(page.locator("#take-error")).to_have_text("page.html: not a recording")
    expect(page.locator("#takes li")).to_have_count(5)
    assert (tmp_path / "recordings" / "00.txt").read_text().strip() in page.locator("#takes").inner_text()
    page.click("#takes li >> nth=0 >> [aria-label^=Delete]")
    expect(page.locator("#takes li")).to_have_count(4)
    expect(page.locator("#advice")).to_contain_text("expect")

    # the training is watched, survives a reload, is stopped and resumed
    page.click("#train")
    expect(page.locator("#sounds li")).to_have_count(2, timeout=20_000)
    expect(page.locator("#training-status")).to_contain_text("24.0 of at most 60 minutes", timeout=20_000)
    expect(page.locator("#curve polyline")).to_have_count(2)
    expect(page.locator("#stages li.done")).to_have_count(4)
    page.reload()
    expect(page.locator("#stages [aria-current]")).to_have_text("training the model", timeout=20_000)
    page.evaluate("""() => {
        window.played = [];
        const play = HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () { played.push(this.src); return play.apply(this); };
    }""")
    page.click("[aria-label='Play the recording']")
    until(page, "played.length === 1")
    page.click("#train-stop")
    expect(page.locator("#training-status")).to_contain_text("can be resumed", timeout=40_000)
    (tmp_path / "studio" / "me" / "GO").touch()
    page.fill("#training-consent", "I am the speaker and agree. 1 May 2026.")
    page.check("#training-agreed")
    expect(page.locator("#train")).to_have_text("Resume")
    page.click("#train")

    # the finished voice: heard, exported, used
    expect(page.locator("#finished-about")).to_have_text("The voice me speaks now.", timeout=40_000)
    expect(page.locator("#sounds")).to_contain_text("% of the way to the speaker")
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename == "me.voice"
    assert Voice.load(download.value.path()).consent == "I am the speaker and agree. 1 May 2026."
    page.click("#use")
    expect(page.locator("#voices input[value=me]")).to_be_checked()
    say(page, TEXT)
    assert newest(page)["voice"] == "me"


def test_the_studio_fits_a_phone_has_names_for_its_controls_and_says_what_failed(
    opened: Open, studio_server: Server, tmp_path: Path, root: Path
) -> None:
    page = opened(studio_server.url, viewport={"width": 320, "height": 600}, has_touch=True, is_mobile=True)
    page.tap("#tab-studio")
    page.fill("#project-name", "x" * 60)
    page.tap("#project-form button")
    expect(page.locator("#sentence")).not_to_be_empty()
    page.set_input_files("#take-files", [str(path) for path in people(root, tmp_path / "recordings")])
    expect(page.locator("#takes li")).to_have_count(4, timeout=60_000)
    (tmp_path / "studio" / ("x" * 60) / "FAIL").touch()
    page.fill("#training-consent", "I am the speaker and agree.")
    page.check("#training-agreed")
    page.tap("#train")
    expect(page.locator("#training-error")).to_have_text("the loss is nan at step 3", timeout=30_000)
    expect(page.locator("#train")).to_have_text("Try again")
    assert page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") == 320
    for control in page.locator("button, input, select, textarea").all():
        if control.is_visible():
            assert control.evaluate("(e) => e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim()")


def test_a_page_without_other_parts_has_no_tabs(page: Any) -> None:
    expect(page.locator("#tabs")).to_be_hidden()
