"""Sound files, loudness, silence, joins and the mel filterbank."""

from __future__ import annotations

import io
import math
import os
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vivavoce import audio

RATE = 24_000


def tone(seconds: float, rate: int = RATE, hz: float = 440.0, amplitude: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def loudest_hz(samples: np.ndarray, rate: int = RATE) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "opus", "mp3", "WAV"])
@pytest.mark.parametrize("rate", [24_000, 22_050])  # neither Opus nor this tone's file knows 22.05 kHz
def test_what_is_written_is_read_back(tmp_path: Path, extension: str, rate: int) -> None:
    path = tmp_path / f"tone.{extension}"
    audio.write(path, tone(2.0, rate), rate)
    back = audio.read(path, RATE)
    assert back.dtype == np.float32 and back.ndim == 1
    assert abs(len(back) / RATE - 2.0) < 0.06  # mp3 comes in whole frames
    assert abs(loudest_hz(back) - 440) < 2
    assert abs(audio.rms_db(back) - audio.rms_db(tone(2.0))) < 0.5
    assert os.listdir(tmp_path) == [path.name]


def test_wav_keeps_every_sample_to_16_bits(tmp_path: Path) -> None:
    samples = tone(0.5)
    audio.write(tmp_path / "a.wav", samples, RATE)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.subtype, info.samplerate, info.channels) == ("PCM_16", RATE, 1)
    assert np.abs(audio.read(tmp_path / "a.wav", RATE) - samples).max() <= 1 / 32768


def test_ogg_holds_opus(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.ogg", tone(0.5), RATE)
    assert soundfile.info(tmp_path / "a.ogg").subtype == "OPUS"


def test_minutes_of_opus_are_written() -> None:
    buffer = io.BytesIO()
    audio.write(buffer, np.tile(tone(1.0, 8000), 120), 8000, format="opus")
    buffer.seek(0)
    assert soundfile.info(buffer).duration == pytest.approx(120, abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count_is_read(tmp_path: Path, rate: int, channels: int) -> None:
    one = tone(1.0, rate)
    soundfile.write(tmp_path / "a.wav", np.stack([one] * channels, axis=1), rate, subtype="FLOAT")
    back = audio.read(tmp_path / "a.wav", RATE)
    assert abs(len(back) - RATE) <= 2
    middle = slice(2000, -2000)  # a filter's edges ring
    assert np.abs(back[:RATE][middle] - tone(1.0)[: len(back)][middle]).max() < 2e-3


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(0.5), -tone(0.5)], axis=1), RATE)
    assert np.abs(audio.read(tmp_path / "a.wav", RATE)).max() < 1e-4


def test_file_objects_need_not_seek(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.inner = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self.inner.read(size)

        def write(self, data: bytes) -> int:  # type: ignore[override]
            return self.inner.write(data)

        def seek(self, *_: object) -> int:
            raise OSError("a pipe cannot seek")

    out = Pipe(b"")
    audio.write(out, tone(0.5), RATE, format="wav")  # type: ignore[arg-type]
    assert len(audio.read(Pipe(out.inner.getvalue()), RATE)) == RATE // 2  # type: ignore[arg-type]


@pytest.mark.parametrize("told", [0, 2**36 - 1])
@pytest.mark.parametrize(("count", "channels"), [(1, 1), (65_536, 1), (150_000, 2)])
def test_flac_that_does_not_tell_its_length_is_read_whole(count: int, channels: int, told: int) -> None:
    samples = np.stack([tone(count / RATE)] * channels, axis=1)
    out = io.BytesIO()
    soundfile.write(out, samples, RATE, format="FLAC", subtype="PCM_16")
    data = bytearray(out.getvalue())
    data[21:26] = ((data[21] & 0xF0) << 32 | told).to_bytes(5, "big")  # STREAMINFO's number of samples, 36 bits
    back = audio.read(io.BytesIO(data), RATE)
    assert len(back) == count and np.abs(back - samples[:, 0]).max() <= 1 / 32768


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def bad_files(folder: Path) -> dict[str, Path]:
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "nan.wav", np.array([0.0, np.nan, 0.1]), RATE, subtype="FLOAT")
    soundfile.write(folder / "infinite.wav", np.array([0.0, np.inf, 0.1]), RATE, subtype="FLOAT")
    return {
        "no such file": folder / "missing.wav",
        "folder": folder,
        "cannot be read as sound": write_bytes(folder / "text.wav", b"This is not sound."),
        "cannot be read as sound (": write_bytes(folder / "blank.ogg", b""),
        "cannot be read": write_bytes(folder / "headless.raw", bytes(100)),
        "no samples": folder / "empty.wav",
        "not finite": folder / "nan.wav",
        "NaN or infinity": folder / "infinite.wav",
    }


def test_unreadable_files_are_refused_in_one_line_that_names_them(tmp_path: Path) -> None:
    for words, path in bad_files(tmp_path).items():
        with pytest.raises(ValueError) as caught:
            audio.read(path, RATE)
        message = str(caught.value)
        assert words in message and str(path) in message and "\n" not in message


def test_an_unknown_extension_is_refused_and_the_known_ones_named(tmp_path: Path) -> None:
    for name in ("a.xyz", "a"):
        with pytest.raises(ValueError) as caught:
            audio.write(tmp_path / name, tone(0.1), RATE)
        assert all(known in str(caught.value) for known in ("wav", "flac", "ogg", "opus", "mp3"))
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder .*nowhere does not exist"):
        audio.write(tmp_path / "nowhere" / "a.wav", tone(0.1), RATE)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.zeros((2, 100), np.float32), "mono"),
        (np.zeros(100, np.int16), "floating point"),
    ],
)
def test_bad_samples_leave_the_old_file(tmp_path: Path, samples: np.ndarray, words: str) -> None:
    path = write_bytes(tmp_path / "a.wav", b"old")
    with pytest.raises(ValueError, match=words):
        audio.write(path, samples, RATE)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.wav"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    path = write_bytes(tmp_path / "a.wav", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="nothing was written") as caught:
            audio.write(path, tone(2.0), RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.wav"]


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path: Path) -> None:
    try:
        (tmp_path / "link.wav").symlink_to(tmp_path / "real.wav")
    except OSError:
        pytest.skip("no links on this system")
    audio.write(tmp_path / "link.wav", tone(0.1), RATE)
    assert (tmp_path / "link.wav").is_symlink() and not (tmp_path / "real.wav").is_symlink()


def test_what_is_too_loud_is_clipped_and_does_not_wrap_round(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.array([1.5, -1.5, 0.0], np.float32), RATE)
    assert audio.read(tmp_path / "a.wav", RATE) == pytest.approx([1.0, -1.0, 0.0], abs=1e-4)


def test_rates_that_are_none_are_refused() -> None:
    for rate in (0, -24_000, 10**9):
        with pytest.raises(ValueError, match="sample_rate"):
            audio.resample(tone(0.1), RATE, rate)


# --- files that are written as their sound is made -------------------------------------------------------------------


@pytest.mark.parametrize("extension", audio.FORMATS)
@pytest.mark.parametrize("rate", [24_000, 22_050])
def test_what_is_written_bit_by_bit_is_what_is_written_at_once(tmp_path: Path, extension: str, rate: int) -> None:
    sound = np.concatenate([tone(2.0, rate), 1.2 * tone(0.5, rate) / 0.3, np.zeros(100, np.float32)])
    audio.write(tmp_path / f"whole.{extension}", sound, rate)
    with audio.Writer(tmp_path / f"bits.{extension}", rate) as file:
        for start in range(0, len(sound), 7001):
            file.add(sound[start : start + 7001])
        assert file.seconds == pytest.approx(len(sound) / rate)
    whole, bits = (soundfile.read(tmp_path / f"{name}.{extension}") for name in ("whole", "bits"))
    assert whole[1] == bits[1] and len(whole[0]) == pytest.approx(len(bits[0]), abs=2)
    if extension in ("wav", "flac"):
        assert np.abs(whole[0] - bits[0]).max() <= (extension == "flac") / 32768
    else:
        assert loudest_hz(bits[0], bits[1]) == pytest.approx(440, abs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"bits.{extension}", f"whole.{extension}"]


def test_a_file_that_is_not_finished_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_text("the old one")
    with pytest.raises(KeyboardInterrupt), audio.Writer(path) as file:
        file.add(tone(1.0))
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="NaN"), audio.Writer(path) as file:
        file.add(np.full(10, np.nan, np.float32))
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "the old one"


def test_a_disk_that_fills_up_meanwhile_is_named_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    path.write_text("the old one")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left.*a\.wav"), audio.Writer(path) as file:
        file.add(tone(0.1))
        disk = types.SimpleNamespace(write=full, seek=lambda *_: 0, tell=int, close=int)
        monkeypatch.setattr(file._bytes, "_inner", disk)
        file.add(tone(2.0))
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "the old one"


def test_a_wav_file_that_would_be_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="less than 4 GiB"), audio.Writer(tmp_path / "a.wav") as file:
        file._samples = 2**31 - 2**15
        file.add(tone(0.1))
    assert list(tmp_path.iterdir()) == []


def test_a_writer_says_what_is_wrong_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    for name, named in {"a.xyz": "'xyz'; known are wav", "no/a.wav": "does not exist", "folder.wav": "folder"}.items():
        with pytest.raises(ValueError, match=named):
            audio.Writer(tmp_path / name)


# --- loudness, silence, joins ----------------------------------------------------------------------------------------


def test_rms_of_a_full_sine_is_minus_3_db_and_of_silence_minus_infinity() -> None:
    assert audio.rms_db(tone(1.0, amplitude=1.0)) == pytest.approx(-3.01, abs=0.01)
    assert audio.rms_db(np.zeros(100)) == audio.rms_db(np.zeros(0)) == -math.inf


def test_level_reaches_its_target_unless_the_peak_would_clip() -> None:
    assert audio.rms_db(audio.level(tone(1.0, amplitude=0.01), -23)) == pytest.approx(-23, abs=0.01)
    spiky = np.zeros(RATE, np.float32)
    spiky[::1000] = 0.1
    assert np.abs(audio.level(spiky, -10)).max() == pytest.approx(0.95)
    assert not audio.level(np.zeros(10), -23).any()


@pytest.mark.parametrize("amplitude", [0.5, 0.002])
def test_trim_leaves_a_margin_and_all_of_the_sound(amplitude: float) -> None:
    sound = tone(1.0, amplitude=amplitude)
    padded = np.concatenate([np.zeros(RATE), sound, np.zeros(2 * RATE)]).astype(np.float32)
    assert len(audio.trim_silence(padded, RATE, margin=0.1)) == pytest.approx(1.2 * RATE, abs=0.02 * RATE)
    bare = audio.trim_silence(padded, RATE, margin=0.0)
    assert np.sum(bare**2) == pytest.approx(np.sum(sound**2), rel=1e-4)
    assert np.array_equal(audio.trim_silence(sound, RATE), sound)
    assert len(audio.trim_silence(np.zeros(RATE), RATE)) == 0


def test_joined_pieces_keep_their_pauses_and_do_not_click() -> None:
    piece = np.full(RATE // 2, 0.5, np.float32)
    joined = audio.join([piece, piece], [0.25, 0.5], RATE)
    assert len(joined) == RATE // 2 + RATE // 4 + RATE // 2 + RATE // 2
    assert np.abs(np.diff(joined, prepend=0.0, append=0.0)).max() < 0.02
    assert not joined[RATE // 2 : RATE // 2 + RATE // 4].any()
    assert joined[RATE // 4] == 0.5
    assert len(audio.join([piece, piece], [0.25], RATE)) == RATE + RATE // 4
    assert len(audio.join([], [], RATE)) == 0
    assert len(audio.join([piece[:1]], [0.0], RATE)) == 1
    for pauses in ([], [0.1, -1.0]):
        with pytest.raises(ValueError, match="pauses"):
            audio.join([piece, piece], pauses, RATE)


# --- mel filterbank --------------------------------------------------------------------------------------------------

# column: (first bin that is not 0, last, first values), from torchaudio 2.11 melscale_fbanks(513, 0, 12000, 100, 24000)
VOCOS = {
    0: (1, 1, [0.854113]),
    1: (1, 2, [0.145887, 0.743966]),
    13: (14, 16, [0.392663, 0.820539, 0.050922]),
    48: (89, 95, [0.132867, 0.422969, 0.713071, 0.996917, 0.715020, 0.433123]),
    78: (251, 266, [0.098513, 0.221165, 0.343818, 0.466470, 0.589122, 0.711775]),
    99: (482, 511, [0.014972, 0.082110, 0.149248, 0.216386, 0.283524, 0.350662]),
}
# the same from librosa 0.11 filters.mel(sr=16000, n_fft=400, n_mels=40), transposed
LIBROSA = {
    0: (1, 3, [0.00739021, 0.01240452, 0.00501431]),
    1: (2, 5, [0.00118795, 0.00857816, 0.01121657, 0.00382636]),
    13: (24, 27, [0.00061229, 0.00743805, 0.01144351, 0.00514736]),
    25: (60, 69, [0.00065269, 0.00174965, 0.00284662, 0.00394359, 0.00504056, 0.00420875]),
    39: (172, 199, [2.072e-05, 0.00015182, 0.00028291, 0.000414, 0.0005451, 0.00067619]),
}


def test_htk_filterbank_equals_torchaudios() -> None:
    bank = audio.mel_filterbank(24_000, 1024, 100)
    assert bank.shape == (513, 100) and bank.dtype == np.float32
    for column, (first, last, values) in VOCOS.items():
        bins = np.flatnonzero(bank[:, column] > 1e-5)  # torchaudio's float32 leaves about 1e-6 in a triangle's foot
        assert (bins[0], bins[-1]) == (first, last)
        assert bank[first : first + len(values), column] == pytest.approx(values, abs=2e-5)
    assert bank.sum() == pytest.approx(503.8287, abs=1e-2)


def test_slaney_filterbank_equals_librosas() -> None:
    bank = audio.mel_filterbank(16_000, 400, 40, scale="slaney", norm="slaney")
    assert bank.shape == (201, 40)
    for column, (first, last, values) in LIBROSA.items():
        bins = np.flatnonzero(bank[:, column])
        assert (bins[0], bins[-1]) == (first, last)
        assert bank[first : first + len(values), column] == pytest.approx(values, abs=1e-7)
    assert bank.sum() == pytest.approx(0.9994972, abs=1e-5)


def test_filterbank_refuses_what_makes_no_sense() -> None:
    for settings in ({"f_max": 20_000.0}, {"f_min": 9000.0, "f_max": 8000.0}, {"scale": "bark"}, {"norm": "area"}):
        with pytest.raises(ValueError, match=next(reversed(settings))):
            audio.mel_filterbank(24_000, 1024, 100, **settings)  # type: ignore[arg-type]
