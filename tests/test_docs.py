"""The commands and examples in README.md, CONTRIBUTING.md, SECURITY.md and docs/ work as written.

Each page is followed from top to bottom in a folder that has the files it mentions (helpers/docs_folder.py). Every
command and Python example on it is run, including those within sentences. SMALLER has the arguments added to commands
so that they finish in seconds; make and pip run dry. NOT_RUN has the commands that are not run, with the reason. Of
these, and of the names in sentences, the commands, flags, scripts and extras must exist.
"""

from __future__ import annotations

import functools
import glob
import importlib.util
import itertools
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from markdown_it import MarkdownIt

from vivavoce.checkpoints import resolve
from vivavoce.cli import main, speak, terminal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest.importorskip("torch")

import torch
from helpers import docs_folder

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
ADDRESS = "http://127.0.0.1:8000"  # of the server on the pages

# Arguments added to a command, by its beginning (a regular expression), so that it finishes in seconds and finds small
# models. If a flag is given twice, the last one counts.
SMALLER = {
    r"vivavoce --file book\.epub --only": "--only 1",
    r"vivavoce --file book\.epub --skip": "--skip 1",
    r"vivavoce evaluate \S+\.tar": "--limit 1",
    r"vivavoce evaluate .*--(voices|speakers)": "--limit 1",
    r"vivavoce evaluate": "--limit 1 --voices nash",
    r"python benchmarks/long\.py": "--minutes 0.1",
    r"python benchmarks/timings\.py": "--limit 1",
    r"python benchmarks/repair\.py.*--voices": "--limit 1 --seeds 1",
    r"python benchmarks/repair\.py": "--limit 1 --seeds 1 --voices nash",
    r"python benchmarks/speed\.py --passes": "--runs 1 --threads 1 --random-weights t2s.json s2a.json",
    r"python benchmarks/speed\.py": "--runs 1 --threads 1 --texts short",
    r"python benchmarks/serve_load\.py": "--minutes 0.05 --workers 1 --clients 2 --direct 1",
    r"python benchmarks/tokens\.py": "--limit 1 --semantic semantic --tokenizer tokenizer.json",
    r"python benchmarks/batch\.py": "--lines 4 --workers 1",
    r"python benchmarks/barge_in\.py": "--times 2 --limit 5000",
    r"pip install": "--dry-run --no-deps --no-index --no-build-isolation",
}
# Commands that are not run, and why.
NOT_RUN = {
    r"docker": "needs Docker",
    r"python benchmarks/compare\.py": "installs other systems",
    r"python recipes/corpus/(make\.py wavs|voicing\.py)": "needs Kokoro-82M",
    r"sudo |cp deploy|launchctl ": "changes the system; tests/deploy checks the files",
    r"python -m venv": "takes long, and needs the network afterwards",
    r"git clone|cd ": "needs the network and a shell",
    r"python benchmarks/nemo_tables\.py": "needs a clone of another project",
    r"python benchmarks/attack\.py": "starts processes of its own; tests/benchmarks/test_attack.py runs a part of it",
    r"(vivavoce|python benchmarks/batch\.py) .*--ray": "needs a Ray cluster; tests/batch and tests/prepare start one",
    r"vivavoce (wyoming|mcp)|python -m http\.server": "serves until it is stopped",
    r"vivavoce (watch|--clipboard)": "needs a desktop",
    r"vivavoce speechd": "writes to the home folder",
    r"vivavoce record": "needs a microphone; tests/cli/test_record.py stands in for one",
    r"vivavoce train-voice": "takes an hour; tests/train_voice runs it on a tiny model",
    r"vivavoce (--voice me |voices (add|info|export|remove))": "needs a trained voice; tests/test_voice_bundles.py",
    r"vivavoce (train .*me-voice|export runs/me |--model my-model --ref)": "needs a run of train-voice",
    r"vivavoce --url": "needs the network",
    r"python benchmarks/short_texts\.py": "needs Whisper base",
    r"python benchmarks/conversion\.py|vivavoce convert-voice": "needs Whisper base; tests/synthesis/test_convert.py",
    r"vivavoce --model my-model .*(--lang es|\[es\])": "needs a multilingual model",
    r"vivavoce export my-model my-model/onnx": "takes minutes; tests/systems/test_onnx.py does it on a small model",
}
# Commands that are not run if one of these packages is missing.
NEEDS = {
    r"vivavoce (evaluate|.*--verify asr)|python benchmarks/(repair|timings|tokens)": ("jiwer", "whisper_normalizer"),
    r".*backend(=\"| )mlx": ("mlx",),
    r"vivavoce .*(--format|--backend) onnx|vivavoce .*--model graphs": ("onnxruntime", "onnxscript"),
    r"vivavoce train|accelerate": ("accelerate",),
    r"python benchmarks/batch": ("psutil",),
    r"python benchmarks/prosody": ("parselmouth",),
}

# Commands that are run once, however many pages show them: they are slow, and leave no file that a page needs.
ONCE = re.compile(r"vivavoce evaluate|python benchmarks/")

PROGRAM = re.compile(r"(vivavoce|python|pip|make|docker|curl|accelerate) ")  # the beginning of a command
LANGUAGES = ("sh", "python", "text", "json", "")
# Within a sentence: the name of a command, or a command with a placeholder.
COMMANDS = (
    "batch|chapters|convert|evaluate|export|mcp|preview|speak|serve|wyoming|prepare --tokens|"
    "watch|feed|speechd|completion|record|train-voice|voices"
)
NAME = re.compile(
    rf"vivavoce( ({COMMANDS}|train( \w+)?))?|python -m vivavoce\.generate|"
    r".*(…|\b[A-Z]{4,}\b(?!=)).*"
)


@dataclass(frozen=True)
class Example:
    """A command, as words, or a Python example. `inline`: it is within a sentence."""

    page: Path
    line: int
    text: str
    words: tuple[str, ...] = ()
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.line}: {self.text.strip()[:100]}"

    @property
    def command(self) -> str:
        """The command without the environment variables before it."""
        return " ".join(self.words[self._settings :])

    @property
    def command_or_code(self) -> str:
        return self.command if self.words else self.text

    @property
    def arguments(self) -> list[str]:
        return list(self.words[self._settings + 1 :])

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in self.words[: self._settings])

    @property
    def _settings(self) -> int:
        return next(i for i, word in enumerate(self.words) if not re.match(r"[A-Z_]+=", word))

    @property
    def reason(self) -> str | None:
        """Why it is not run, or None if it is."""
        text = self.command_or_code
        if self.inline and NAME.fullmatch(text):
            return "a name"
        packages = [name for pattern, names in NEEDS.items() if re.match(pattern, text, re.DOTALL) for name in names]
        missing = [f"needs {name}" for name in packages if importlib.util.find_spec(name) is None]
        return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, text)), *missing[:1] or [None])

    @property
    def smaller(self) -> list[str]:
        """The arguments added to it."""
        return next((more.split() for pattern, more in SMALLER.items() if re.match(pattern, self.command)), [])


def examples(page: Path) -> list[Example]:
    """Return all examples of a page, from top to bottom."""
    found = []
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        line = (token.map or [0])[0] + 1
        if token.type == "fence" and token.info == "python":
            found.append(Example(page, line, token.content))
        elif token.type == "fence":
            assert token.info in LANGUAGES, f"{page.name}, line {line}: fence language {token.info!r} is unknown"
        if token.type == "code_block" or (token.type == "fence" and token.info in ("sh", "")):
            for command in token.content.replace("\\\n", " ").splitlines():
                sure = token.info == "sh" or PROGRAM.match(command)
                words = tuple(shlex.split(command, comments=True)) if sure else ()
                if words:
                    found.append(Example(page, line, command, words))
        for child in token.children or []:
            if child.type == "code_inline" and PROGRAM.match(child.content):
                found.append(Example(page, line, child.content, tuple(shlex.split(child.content)), inline=True))
    return found


@functools.cache
def all_examples() -> list[Example]:
    return [example for page in PAGES for example in examples(page)]


# --- running -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> docs_folder.Hub:
    folder = tmp_path_factory.mktemp("hub")
    docs_folder.publish_models(folder)
    return docs_folder.Hub(folder)


@pytest.fixture
def folder(tmp_path: Path, hub: docs_folder.Hub, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader, with the files that the pages mention and stand-ins for the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speak, "why_silent", lambda: "the tests are silent")
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    monkeypatch.setattr("huggingface_hub.list_repo_files", hub.list_repo_files)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    docs_folder.fill(tmp_path)
    docs_folder.place_whisper(tmp_path)
    docs_folder.write_small_stages(tmp_path)
    docs_folder.give_ears(monkeypatch)
    for name in docs_folder.PAIR:
        shutil.copy(hub.folder / "collabora" / "whisperspeech" / name, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a stand-in model."""
    pytest.importorskip("fastapi")
    from helpers.serving import serving

    with serving(tmp_path_factory.mktemp("serve")) as started:
        yield started.url


def run_command(example: Example, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert not {"|", ">", "<", "&&", ";"} & set(example.words), f"{example}: this test has no shell"
    program, arguments = example.command.split(" ")[0], [*example.arguments, *example.smaller]
    with monkeypatch.context() as patch:
        for name, value in example.environment.items():
            patch.setenv(name, value)
        if program == "vivavoce" and arguments[0] == "serve":
            run_server(tuple(arguments), tuple(example.environment.items()))
        elif program == "vivavoce":
            run_vivavoce(example, arguments, capfd)
        elif program == "python" and arguments[0] != "-m":
            run_script(example, arguments, patch)
        else:
            if program == "pip":
                check_extras(arguments, example)
            run_program(program, tuple(arguments))


def run_vivavoce(example: Example, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    if "me" in arguments and arguments[0] != "export" and not Path("me").exists():  # trained on another page
        shutil.copytree(resolve.ASSETS / "nanospeech", "me")
    arguments = [found for word in arguments for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    status = terminal.run(main.app, arguments)
    assert status == 0, f"{example}\n{capfd.readouterr().err}"
    if {"-o", "--output"} & set(arguments):
        output = Path(arguments[1 + max(i for i, word in enumerate(arguments) if word in ("-o", "--output"))])
        assert list(Path().glob(f"{output.stem}*{output.suffix}")), f"{example}: {output} was not written"


def run_script(example: Example, arguments: list[str], patch: pytest.MonkeyPatch) -> None:
    """Run in this process, which has the stand-ins. Nothing is compiled; tests/models does that, slowly."""
    patch.setattr(torch, "compile", lambda function, **_: function)
    patch.setattr(sys, "argv", arguments)
    patch.syspath_prepend(str((ROOT / arguments[0]).parent))
    try:
        runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
    except SystemExit as end:
        assert not end.code, f"{example}: {end.code}"


_seen: set[str] = set()


def first_time(command: str) -> bool:
    """Return whether no page has shown the command before, and remember it."""
    new = command not in _seen
    _seen.add(command)
    return new


@functools.cache
def run_program(program: str, arguments: tuple[str, ...]) -> None:
    """Run once, however many pages show it."""
    if shutil.which(program) is None and program in ("curl", "make"):
        return
    commands = {
        "curl": ["curl", "-sS", "--fail"],
        "make": ["make", "-C", str(ROOT), "-n"],
        "pip": [sys.executable, "-m", "pip"],
        "python": [sys.executable],
        "accelerate": [sys.executable, "-m", "accelerate.commands.accelerate_cli"],
    }
    words = list(arguments)
    if program == "pip":
        words = [re.sub(r"^vivavoce\b", str(ROOT), word) for word in words]
        if "--index-url" in words:
            del words[words.index("--index-url") :][:2]
    if program == "accelerate":
        words[1:1] = ["--cpu", "--num_processes", "1", "--num_machines", "1", "--dynamo_backend", "no"]
    done = subprocess.run([*commands[program], *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{program} {words}: {done.stderr}"


@functools.cache
def run_server(arguments: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> None:
    """Start as on the page, but on a free port, and stop when it reports that it is healthy."""
    pytest.importorskip("fastapi")
    command = [sys.executable, "-m", "vivavoce", *arguments, "--port", "0", "--voices", "served"]
    environ = {**os.environ, **dict(environment)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None
        try:
            said = ""
            while not (listening := re.search(r"listening at http://[\w.]+:(\d+)", said)):
                line = process.stderr.readline()
                assert line, f"{arguments}: {said}"
                said += line
            with urllib.request.urlopen(f"http://127.0.0.1:{listening[1]}/healthz", timeout=30) as answer:
                assert json.load(answer)["status"] == "ok"
        finally:
            process.terminate()


@pytest.mark.timeout(1200)  # a page has many commands
@pytest.mark.parametrize("page", [p for p in PAGES if any(e.reason is None for e in examples(p))], ids=lambda p: p.stem)
def test_commands_and_examples_on_a_page_work(
    page: Path,
    folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    for example in examples(page):
        text = example.command_or_code
        if example.reason is not None or (ONCE.match(text) and not first_time(text)):
            continue
        if ADDRESS.partition("//")[2] in example.text:
            here = request.getfixturevalue("server")
            words = tuple(word.replace(ADDRESS, here) for word in example.words)
            example = Example(page, example.line, example.text.replace(ADDRESS, here), words)
        if example.words:
            run_command(example, monkeypatch, capfd)
        else:
            exec(compile(example.text, str(example), "exec"), names)


# --- checking without running ----------------------------------------------------------------------------------------


def test_every_exception_is_still_used() -> None:
    texts = [example.command_or_code for example in all_examples()]
    for pattern in (*NOT_RUN, *NEEDS, *SMALLER):
        assert any(re.match(pattern, text, re.DOTALL) for text in texts), f"no page has {pattern!r} any more"


@pytest.mark.parametrize("example", [e for e in all_examples() if e.reason is not None], ids=str)
def test_commands_that_are_not_run_exist(example: Example) -> None:
    if not example.words:
        compile(example.text, str(example), "exec")
        return
    program, arguments = example.command.split(" ")[0], example.arguments
    if program == "vivavoce":
        check_flags(arguments, example)
    elif program == "make":
        check_make(arguments, example)
    elif program == "pip":
        check_extras(arguments, example)
    elif program == "docker":
        assert arguments[0] == "compose" and yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    elif program == "accelerate":
        assert arguments[arguments.index("-m") + 1] == "vivavoce.train"
        check_flags(["train", *arguments[arguments.index("-m") + 2 :]], example)
    elif program == "python":
        check_script(arguments, example)


def check_flags(arguments: list[str], example: Example) -> None:
    """The command and its flags exist; a command outside a sentence also parses."""
    group: Any = typer.main.get_command(main.app)
    name, rest = (arguments[0], arguments[1:]) if arguments[0] in group.commands else ("speak", arguments)
    command = group.commands[name]
    if rest and rest[0] in getattr(command, "commands", {}):
        command, name, rest = command.commands[rest[0]], rest[0], rest[1:]
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        assert not word.startswith("--") or word in {*known, "--help", "--version"}, f"{example}: no {word}"
    if not example.inline:
        command.make_context(name, list(rest))  # raises where it would be refused


def check_make(arguments: list[str], example: Example) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in arguments:
        pattern = rf"^{word.split('=')[0]} [?:]?=" if "=" in word else rf"^{re.escape(word)}:"
        assert re.search(pattern, makefile, re.MULTILINE), f"{example}: no {word} in the Makefile"


def check_extras(arguments: list[str], example: Example) -> None:
    known = project()["optional-dependencies"]
    for word in arguments:
        if extras := re.fullmatch(r"vivavoce\[(.+)\]", word):
            assert set(extras[1].split(",")) <= set(known), f"{example}: no such extra"
    for flag, path in itertools.pairwise(arguments):
        assert flag != "-r" or (ROOT / path).is_file(), f"{example}: no {path}"


def check_script(arguments: list[str], example: Example) -> None:
    if arguments[0] == "-m":
        module, rest = arguments[1], arguments[2:]
        assert importlib.util.find_spec(module), f"{example}: no module {module}"
        if rest and module.startswith("vivavoce"):
            check_flags(rest if module != "vivavoce.train" else ["train", *rest], example)
        return
    source = (ROOT / arguments[0]).read_text(encoding="utf-8")
    for word in arguments[1:]:
        assert not word.startswith("--") or f'"{word}"' in source, f"{example}: no {word} in {arguments[0]}"


# --- files that must agree ----------------------------------------------------------------------------------


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_every_dependency_is_listed_with_its_licence() -> None:
    table = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").split("| extra | package | licence |")[1]
    rows = re.findall(r"^\| ([\w–-]+) \| ([\w-]*\w) \| \S", table, re.MULTILINE)
    extras = {"–": project()["dependencies"], **project()["optional-dependencies"]}
    required = {(extra, re.split(r"[^\w-]", text)[0]) for extra, texts in extras.items() for text in texts}
    required = {(extra, name) for extra, name in required if name != "vivavoce"}  # an extra that contains another
    assert set(rows) == required


def test_the_readme_is_short_and_its_links_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    for link in re.findall(r"\]\(([^)#:]+)[)#]", text):
        assert (ROOT / link).exists(), f"README.md links to {link}"


def test_the_container_uses_the_makefile_and_is_hardened() -> None:
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    makes = re.findall(r"^RUN make (.+)$", docker, re.MULTILINE)
    assert makes and not re.search(r"^RUN.*\bpip\b", docker, re.MULTILINE)
    for words in makes:
        for word in words.split():
            assert re.search(rf"^{word.split('=')[0]}( [?:]?=|:)", makefile, re.MULTILINE), f"no {word} in the Makefile"
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", docker, re.MULTILINE):
        for name in sources.split():
            assert (ROOT / name).exists() and f"!{name}" in kept
    assert re.search(r"^USER (?!root)", docker, re.MULTILINE)
    served = json.loads(re.search(r"^CMD (\[.*\])$", docker, re.MULTILINE)[1])  # type: ignore[index]
    example = Example(ROOT / "Dockerfile", 0, " ".join(served), tuple(served))
    check_flags(example.arguments, example)
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["vivavoce"]
    assert service["environment"]["VIVAVOCE_API_KEY"].startswith("${VIVAVOCE_API_KEY:?")
    assert "/healthz" in service["healthcheck"]["test"][-1]
    compile(service["healthcheck"]["test"][-1], "compose.yaml", "exec")
    (volume,) = service["volumes"]
    assert volume.split(":")[1] == served[served.index("--voices") + 1]


def test_notebooks_are_committed_without_outputs() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert cell["cell_type"] != "code" or (cell["outputs"] == [] and cell["execution_count"] is None)


def test_the_space_speaks_and_asks_for_consent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import gradio_app  # type: ignore[import-not-found]

    rate, samples = gradio_app.speak("Good morning.", "nash", None, False, 1.0, 1.0)
    assert rate == 24_000 and len(samples) > rate // 4 and abs(samples).max() > 1000
    with pytest.raises(ValueError, match="agreed"):
        gradio_app.speak("Good morning.", "nash", "me.wav", False, 1.0, 1.0)
    _, mine = gradio_app.speak("Good morning.", "nash", "me.wav", True, 1.0, 1.0)
    assert len(mine) != len(samples) or (mine != samples).any()
    with pytest.raises(ValueError, match="at most"):
        gradio_app.speak("a" * 2000, "nash", None, False, 1.0, 1.0)


def test_the_site_builds_strictly_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    """The build of `make docs`."""
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "tutorial.html", "library.html", "commands.html"} <= {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(
            r"<(?:script|img|link|iframe|audio|source)\b[^>]*?(?:src|href)=\"?((?:https?:)?//[^\" >]+)", text
        )
        assert not fetched, f"{page.name} asks {fetched[0]}"
        assert "<!-- help" not in text
    commands = (tmp_path / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--ref-audio PATH" in commands and "--max-minutes" in commands
