"""English times of day and durations as words: "10:30 PM" is "ten thirty p.m."."""

from __future__ import annotations

import re

from vivavoce.text.characters import Rule, after, any_of, before, numeric, rule
from vivavoce.text.english_numbers import cardinal, counted, number, short_year
from vivavoce.text.english_tables import BIBLE

_TIME = r"\d{1,2}(?::[0-5]\d)?\s?[AaPp](?:\.\s?[Mm]\.|[Mm](?!\w))"
_ZONE = r"[ECMPecmp]\.?[SDsd]\.?[Tt]|[Gg]\.?[Mm]\.?[Tt]|[Uu]\.?[Tt]\.?[Cc]"


def _is_length(m: re.Match[str]) -> bool:
    """Return whether hours, minutes and seconds are a duration: "1:02:03 long", "finished in 2:15:00"."""
    if re.search(r"\b(?:at|by|till|until|from|@)\s$", before(m)):
        return False
    following = (
        r"[\s-](?:long|marathon|run|race|ride|hike|video|film|movie|recording|episode|of|time|into|later|remaining)\b"
    )
    preceding = (
        r"\b(?:in|took|takes|take|lasts?|lasted|for|after|about|under|duration|runtime|length|time(?: of)?):?\s$"
    )
    return len(m[1]) == 1 or bool(re.match(following, after(m)) or re.search(preceding, before(m)))


def clock(m: re.Match[str]) -> str:
    hour, minute, second, half = m[1], m[2], m[3], m[4]
    if int(hour) > 24 or (half and int(hour) > 12) or not (minute or half):
        return m[0]
    if second and not half and _is_length(m):
        parts = ((str(int(hour)), "hour"), (str(int(minute)), "minute"), (str(int(second)), "second"))
        return " ".join(counted(count, one, f"{one}s") for count, one in parts if count != "0")
    words = cardinal(str(int(hour)))
    if minute and int(minute):
        words += f" {'oh ' if minute[0] == '0' else ''}{cardinal(str(int(minute)))}"
    elif minute and not half and not second:
        words = "midnight" if int(hour) in (0, 24) else f"{words} o'clock" if int(hour) <= 12 else f"{words} hundred"
    if second and int(second):
        words += f" and {counted(str(int(second)), 'second', 'seconds')}"
    return words + (f" {half.lower()}.m." if half else "")


def split_seconds(m: re.Match[str]) -> str:
    """Read "1:58.3" as "one minute fifty-eight point three seconds"."""
    parts = [
        counted(str(int(part)), one, f"{one}s") for part, one in ((m[1], "hour"), (m[2], "minute")) if int(part or 0)
    ]
    return " ".join([*parts, f"{number(f'{int(m[3])}.{m[4]}')} seconds"])


def military(m: re.Match[str]) -> str:
    hour = f"oh {cardinal(m[1][1])}" if m[1][0] == "0" and m[1] != "00" else cardinal(str(int(m[1])))
    return f"{hour} {'hundred' if m[2] == '00' else short_year(m[2])} "


def duration(m: re.Match[str]) -> str:
    parts = ((m[1], "hour"), (m[2], "minute"), (m[3], "second"))
    return " ".join(counted(count, one, f"{one}s") for count, one in parts if count)


RULES: tuple[Rule, ...] = (
    numeric("duration", r"(?<![\w.,:])(?:(\d{1,2}):)?(\d{1,2}):([0-5]\d)\.(\d{1,3})(?![\w:]|\.\w)", split_seconds, ":"),
    numeric("clock", r"(?<![\w.,:])(\d{1,2})\.([0-5]\d)(?=\s?[AaPp]\.?\s?[Mm](?!\w))", r"\1:\2", "."),
    numeric("range", rf"(?<![\w.,:])({_TIME}|\d{{1,2}}(?::[0-5]\d)?)\s?[-–]\s?(?={_TIME})", r"\1 to ", "-–"),
    numeric("range", r"(?<!\w)([Nn]oon|[Mm]idnight)(?:\s?[-–]\s?|\s—\s)(?=\d)", r"\1 to ", "-–—"),
    numeric("range", rf"(?<!\w)({_TIME})(?:\s?[-–]\s?|\s—\s)(?=(?:noon|midnight)(?!\w))", r"\1 to ", "-–—"),
    numeric("range", r"(?<![\w.,:])(\d{1,2}:[0-5]\d)\s?[-–]\s?(?=\d{1,2}:[0-5]\d)", r"\1 to ", "-–"),
    numeric("clock", r"(?<!\w)([01]\d|2[0-4])([0-5]\d)\s(?=h(?:ou)?rs(?!\w))", military, "h"),
    numeric("clock", r"(?<!\w)([01]?\d|2[0-4])[hH]([0-5]\d)()()(?!\w)", clock, "hH"),
    numeric("verse", rf"(?<!\w)({any_of(BIBLE)})\s(\d{{1,3}}):(\d{{1,3}})(?!\d|:)", r"\1 \2 \3", ":"),
    numeric(
        "ratio",
        r"(?<!\w)((?:[Rr]atio|[Oo]dds|[Ss]cale|[Pp]roportion|[Mm]ixed)(?:\s[a-z]+){0,3}\s)(\d+):(?=\d)",
        r"\1\2 to ",
        ":",
    ),
    numeric(
        "clock",
        r"(?<![\w.,:])(\d{1,2})(?::([0-5]\d))?(?::([0-5]\d))?(?:\s?([AaPp])(?:\.\s?[Mm](?:\.|(?![\w.]))|[Mm]\.?(?!\w))|\s?[hH](?=\W|$))?(?!\w|:\d)",
        clock,
        ":AaPp",
    ),
    rule(
        "time zone",
        rf"(?<=[ap]\.m\.)\s?({_ZONE})\.?(?!\w)",
        lambda m: " " + " ".join(c.upper() for c in m[1] if c != "."),
        ".",
    ),
    numeric(
        "duration", r"(?<![\w.])(\d+)\s?h(?:rs?)?\s?(\d+)\s?m(?:ins?)?(?:\s?(\d+)\s?s(?:ecs?)?)?(?!\w)", duration, "h"
    ),
    numeric("duration", r"(?<![\w.])()(\d+)\s?m(?:ins?)?\s?(\d+)\s?s(?:ecs?)?(?!\w)", duration, "m"),
)
