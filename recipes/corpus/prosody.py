"""Labels for prosody: random pitch, range, energy and pace for a line, and how a teacher follows them.

Both teachers compute durations, F0 and energy as tensors and turn them into sound afterwards. `part` cuts their graphs
there, so that these tensors can be changed in between. Changes of F0 and durations are followed; the dB per unit of
the energy tensor were measured (`DB_PER_UNIT` of each teacher).
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float32]

# Values are drawn evenly from these ranges, factors by their logarithm
PITCH = 3.0  # semitones, up and down
RANGE = (0.6, 1.5)
ENERGY = 6.0  # dB, louder and softer
PACE = (0.8, 1.25)
DRAWN = 0.6  # share of the lines in which a control differs from neutral
PHRASE = 0.3  # share of the lines in which a phrase has its own controls
STRESSED = 0.5  # share of the lines with an emphasised word
# How much higher, louder and longer an emphasised word is
STRESS_PITCH, STRESS_ENERGY, STRESS_LENGTH = 4.0, 4.0, 1.3  # semitones, dB, factor
EFFORT = 0.5  # share of the dB that the teacher's energy gets
VOICED = 40.0  # Hz; frames with a lower F0 are unvoiced
WIDEST = 18.0  # semitones: the largest distance of a frame from the mean


@dataclass(frozen=True)
class Controls:
    """How a stretch of speech differs from the teacher's own reading; the defaults are neutral."""

    pitch: float = 0.0  # semitones
    range: float = 1.0  # factor on the distance of F0 from the utterance's mean, in semitones
    energy: float = 0.0  # dB
    pace: float = 1.0  # factor on the speed


@dataclass(frozen=True)
class Labels:
    """The prosody of an utterance. Words are counted from 0, as `text.split()` gives them."""

    whole: Controls = Controls()
    phrase: tuple[int, int, Controls] | None = None  # first word, word after the last, controls instead of `whole`
    stress: tuple[int, ...] = ()  # emphasised words

    def meta(self) -> dict[str, Any]:
        """The fields of KEY.json."""
        fields: dict[str, Any] = {"prosody": asdict(self.whole), "stress": list(self.stress)}
        if self.phrase is not None:
            first, end, controls = self.phrase
            fields["prosody_spans"] = [[first, end, asdict(controls)]]
        return fields

    def quieter(self, gain: float) -> Labels:
        """Return the same labels for audio that was scaled by `gain` afterwards."""
        change = 20 * math.log10(gain)
        if abs(change) < 0.01:
            return self

        def scaled(controls: Controls) -> Controls:
            return replace(controls, energy=round(controls.energy + change, 2))

        phrase = None if self.phrase is None else (*self.phrase[:2], scaled(self.phrase[2]))
        return replace(self, whole=scaled(self.whole), phrase=phrase)

    def of_word(self, word: int) -> Controls:
        """Return the controls of a word."""
        if self.phrase is not None and self.phrase[0] <= word < self.phrase[1]:
            return self.phrase[2]
        return self.whole

    def targets(self, word: int, sounds: bool = True) -> tuple[float, float, float]:
        """Return a word's pitch in semitones, range and dB, with its emphasis. sounds: False for a pause."""
        controls = self.of_word(word)
        pitch, energy = (STRESS_PITCH, STRESS_ENERGY) if sounds and word in self.stress else (0.0, 0.0)
        return controls.pitch + pitch, controls.range, controls.energy + energy


def draw(sentences: str, line: int, words: int) -> Labels:
    """Return the labels of a line of a list; the same line always gets the same ones. words: their number."""
    order = random.Random(zlib.crc32(f"prosody {sentences} {line}".encode()))
    whole, other = _controls(order), _controls(order)
    phrase = None
    if order.random() < PHRASE and words >= 4:
        length = order.randint(2, words - 2)
        first = order.choice((0, words - length))  # at the start or the end
        phrase = (first, first + length, other)
    stress = (order.randrange(words),) if order.random() < STRESSED and words >= 3 else ()
    return Labels(whole, phrase, stress)


def _controls(order: random.Random) -> Controls:
    pitch, wide, energy, pace = (order.uniform(-1, 1) if order.random() < DRAWN else 0.0 for _ in range(4))
    return Controls(
        round(pitch * PITCH, 2),
        round(_factor(wide, RANGE), 3),
        round(energy * ENERGY, 2),
        round(_factor(pace, PACE), 3),
    )


def _factor(share: float, limits: tuple[float, float]) -> float:
    """-1 to 1 → the lower to the upper limit; 0 → 1."""
    return float(limits[0] ** -share if share < 0 else limits[1] ** share)


# --- a teacher's tensors ---------------------------------------------------------------------------------------------


# Of each token: the number of its word, or -1, and whether it has sound
Owners = Sequence[tuple[int, bool]]


def lengths(durations: Curve, owners: Owners, labels: Labels) -> Curve:
    """Return durations in whole frames [P], at least 1, for labels, from the teacher's own [P].

    Rounding errors do not accumulate: every token ends within half a frame of where it should.
    """
    factors = np.ones(len(durations))
    for i, (word, sounds) in enumerate(owners):
        factors[i] /= labels.of_word(word).pace
        if sounds and word in labels.stress:
            factors[i] *= STRESS_LENGTH
    ends, made, at = np.cumsum(durations * factors), np.empty(len(durations), np.float32), 0
    for i, end in enumerate(ends):
        made[i] = max(1, round(float(end)) - at)
        at += int(made[i])
    return made


def followed(
    pitch: Curve, energy: Curve, durations: Curve, owners: Owners, labels: Labels, db_per_unit: float | None
) -> tuple[Curve, Curve, Curve]:
    """Return F0 in Hz [N] and energy [N] for labels, from the teacher's own, and the gain [N] to apply to the audio.

    N is a multiple of the durations' sum. At -6 dB of energy the teacher's voice is rough, so the tensor gets EFFORT of
    the request, and the gain supplies the rest. db_per_unit None: the teacher's audio does not follow its energy
    tensor, so the gain does it all.
    """
    rate = round(len(pitch) / float(durations.sum()))
    each = [labels.targets(word, sounds) for word, sounds in owners]
    token = np.repeat(np.arange(len(each)), (durations * rate).astype(int))
    token = np.pad(token, (0, max(0, len(pitch) - len(token))), mode="edge")[: len(pitch)]
    shift, wide, level = (smoothed(curve) for curve in np.array(each)[token].T)
    voiced = pitch > VOICED
    changed = pitch.astype(np.float64)
    if voiced.any():
        semitones = 12 * np.log2(np.maximum(pitch, VOICED))
        mean = semitones[voiced].mean()
        moved = np.clip((semitones - mean) * wide, -WIDEST, WIDEST) + mean + shift
        changed[voiced] = 2 ** (moved[voiced] / 12)
    gain = 10 ** ((1 - EFFORT if db_per_unit else 1) * level / 20)
    effort = (energy + EFFORT * level / db_per_unit if db_per_unit else energy).astype(np.float32)
    return changed.astype(np.float32), effort, gain.astype(np.float32)


def louder(wave: Curve, gain: Curve, hop: int) -> Curve:
    """Return `wave` [S] with a gain [N] applied to each frame of `hop` samples."""
    middles = (np.arange(len(gain)) + 0.5) * hop
    return wave * np.interp(np.arange(len(wave)), middles, gain).astype(np.float32)


def smoothed(curve: npt.NDArray[np.float64], size: int = 5) -> npt.NDArray[np.float64]:
    """Return the mean of each value and its neighbours, `size` values in all, an odd number."""
    return np.convolve(np.pad(curve, size // 2, mode="edge"), np.ones(size) / size, "valid")


# --- a teacher's graph -----------------------------------------------------------------------------------------------


def part(graph: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return an ONNX Runtime session with one thread for the part of a graph from tensors `inputs` to tensors
    `outputs`.

    Inputs may be tensors inside the graph; their values, float32, replace what the graph computes.
    """
    import onnx
    import onnxruntime

    whole = graph.graph
    maker = {name: node for node in whole.node for name in node.output}
    constants = {value.name for value in whole.initializer}
    seen, wanted, kept = set(inputs), list(outputs), set()
    while wanted:
        name = wanted.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        if name not in constants:
            kept.add(id(maker[name]))
            wanted += maker[name].input
    kinds = {value.name: value.type.tensor_type.elem_type for value in whole.input}
    tensor, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    small = onnx.helper.make_graph(
        [node for node in whole.node if id(node) in kept],
        "part",
        [tensor(name, kinds.get(name, real), None) for name in inputs],
        [tensor(name, real, None) for name in outputs],
        [value for value in whole.initializer if value.name in seen],
    )
    model = onnx.helper.make_model(small, opset_imports=list(graph.opset_import))
    model.ir_version = graph.ir_version
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)
