"""What the documents show works as it stands there: README.md, CONTRIBUTING.md and docs/.

Each page is followed from top to bottom in a folder that has what it speaks of (docs_folder.py), and every command and
Python example on it is run, those within a sentence, too. SMALLER has what is added to commands so that they end in
seconds; make and pip only say what they would do. What is not run stands in NOT_RUN with the reason; of that, and of
what a sentence only names, commands, flags, scripts and extras have to exist.
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

from vivavoce import checkpoints, cli, generate

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest.importorskip("torch")

import docs_folder
import torch

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ADDRESS = "http://127.0.0.1:8000"  # of the server that the pages speak to

# What is added to a command, by its beginning (a regular expression), so that it ends in seconds or finds what is small
# here. Of a flag that is given twice the last counts.
SMALLER = {
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
    r"pip install": "--dry-run --no-deps --no-index --no-build-isolation",
}
# What is not run, and why.
NOT_RUN = {
    r"docker": "needs Docker",
}
# The same where a package is missing here: what it needs.
NEEDS = {
    r"vivavoce (evaluate|.*--verify asr)|python benchmarks/(repair|timings|tokens)": ("jiwer", "whisper_normalizer"),
    r".*backend(=\"| )mlx": ("mlx",),
    r"vivavoce train|accelerate": ("accelerate",),
}

PROGRAM = re.compile(r"(vivavoce|python|pip|make|docker|curl|accelerate) ")  # what a command begins with
LANGUAGES = ("sh", "python", "text", "json", "")
# In a sentence, what is not a command to be typed but its name, or has a place for what the reader puts there.
NAME = re.compile(
    r"vivavoce( (convert|evaluate|export|prepare --tokens|train( \w+)?))?|python -m vivavoce\.generate|"
    r".*(…|\b[A-Z]{4,}\b(?!=)).*"
)


@dataclass(frozen=True)
class Example:
    """A command, as words, or a Python example; `inline` is what stands in a sentence."""

    page: Path
    line: int
    text: str
    words: tuple[str, ...] = ()
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.line}: {self.text.strip()[:100]}"

    @property
    def command(self) -> str:
        """Without settings of the environment before it."""
        return " ".join(self.words[self._settings :])

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
        """Why it is not run; None: it is."""
        text = self.command if self.words else self.text
        if self.inline and NAME.fullmatch(text):
            return "a name"
        packages = [name for pattern, names in NEEDS.items() if re.match(pattern, text, re.DOTALL) for name in names]
        missing = [f"needs {name}" for name in packages if importlib.util.find_spec(name) is None]
        return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, text)), *missing[:1] or [None])

    @property
    def smaller(self) -> list[str]:
        """What is added to it."""
        return next((more.split() for pattern, more in SMALLER.items() if re.match(pattern, self.command)), [])


def examples(page: Path) -> list[Example]:
    """All of a page, from top to bottom."""
    found = []
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        line = (token.map or [0])[0] + 1
        if token.type == "fence" and token.info == "python":
            found.append(Example(page, line, token.content))
        elif token.type == "fence":
            assert token.info in LANGUAGES, f"{page.name}, line {line}: nobody knows whether {token.info!r} is run"
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


# --- what is run -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> docs_folder.Hub:
    folder = tmp_path_factory.mktemp("hub")
    docs_folder.publish_models(folder)
    return docs_folder.Hub(folder)


@pytest.fixture
def folder(tmp_path: Path, hub: docs_folder.Hub, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader of a page works, with what the pages speak of and a world that answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generate, "_has_sound", lambda required: False)
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
    """The address of a server with a stand-in for the model."""
    pytest.importorskip("fastapi")
    from serving import serving

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
        shutil.copytree(checkpoints.ASSETS / "nanospeech", "me")
    arguments = [found for word in arguments for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    status = generate.run(cli.app, arguments)
    assert status == 0, f"{example}\n{capfd.readouterr().err}"
    if {"-o", "--output"} & set(arguments):
        output = Path(arguments[1 + max(i for i, word in enumerate(arguments) if word in ("-o", "--output"))])
        assert list(Path().glob(f"{output.stem}*{output.suffix}")), f"{example}: {output} was not written"


def run_script(example: Example, arguments: list[str], patch: pytest.MonkeyPatch) -> None:
    """In this process, where the stand-ins are. Nothing is compiled: test_whisperspeech.py does that, slowly."""
    patch.setattr(torch, "compile", lambda function, **_: function)
    patch.setattr(sys, "argv", arguments)
    patch.syspath_prepend(str((ROOT / arguments[0]).parent))
    try:
        runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
    except SystemExit as end:
        assert not end.code, f"{example}: {end.code}"


@functools.cache
def run_program(program: str, arguments: tuple[str, ...]) -> None:
    """Once, on however many pages it stands."""
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
    """Started as the page says, but for a free port, until it listens and says that it is well."""
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


@pytest.mark.parametrize("page", [p for p in PAGES if any(e.reason is None for e in examples(p))], ids=lambda p: p.stem)
def test_what_a_page_shows_works(
    page: Path,
    folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    for example in examples(page):
        if example.reason is not None:
            continue
        if ADDRESS.partition("//")[2] in example.text:
            here = request.getfixturevalue("server")
            words = tuple(word.replace(ADDRESS, here) for word in example.words)
            example = Example(page, example.line, example.text.replace(ADDRESS, here), words)
        if example.words:
            run_command(example, monkeypatch, capfd)
        else:
            exec(compile(example.text, str(example), "exec"), names)


# --- what is looked at only ------------------------------------------------------------------------------------------


def test_no_reason_and_no_addition_is_left_over() -> None:
    texts = [e.command if e.words else e.text for e in all_examples()]
    for pattern in (*NOT_RUN, *NEEDS, *SMALLER):
        assert any(re.match(pattern, text, re.DOTALL) for text in texts), f"no page has {pattern!r} any more"


@pytest.mark.parametrize("example", [e for e in all_examples() if e.reason is not None], ids=str)
def test_what_a_command_names_exists(example: Example) -> None:
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
    """The command and its flags; with what they are given, where the command is one to be typed."""
    group: Any = typer.main.get_command(cli.app)
    name, rest = (arguments[0], arguments[1:]) if arguments[0] in group.commands else ("speak", arguments)
    command = group.commands[name]
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
        check_flags(rest if module != "vivavoce.train" else ["train", *rest], example) if rest else None
        return
    source = (ROOT / arguments[0]).read_text(encoding="utf-8")
    for word in arguments[1:]:
        assert not word.startswith("--") or f'"{word}"' in source, f"{example}: no {word} in {arguments[0]}"


# --- papers that go with each other ----------------------------------------------------------------------------------


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_the_licences_of_all_dependencies_are_told() -> None:
    table = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").split("| extra | package | licence |")[1]
    rows = re.findall(r"^\| ([\w–-]+) \| ([\w-]*\w) \| \S", table, re.MULTILINE)
    extras = {"–": project()["dependencies"], **project()["optional-dependencies"]}
    asked = {(extra, re.split(r"[^\w-]", text)[0]) for extra, texts in extras.items() for text in texts}
    assert set(rows) == asked


def test_the_container_is_made_by_the_makefile_and_is_safe() -> None:
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


def test_the_notebook_is_kept_without_what_comes_of_running_it() -> None:
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


def test_the_site_is_built_and_asks_no_other_host_for_anything(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "tutorial.html", "library.html", "commands.html"} <= {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?((?:https?:)?//[^\" >]+)", text)
        assert not fetched, f"{page.name} asks {fetched[0]}"
        assert "<!-- help" not in text
    commands = (tmp_path / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--ref-audio PATH" in commands and "--max-minutes" in commands
