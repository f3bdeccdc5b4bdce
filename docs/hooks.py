"""Hooks for mkdocs.

Pages in other folders of the repository become part of the site. Links are written for the repository, and adapted to
the site here. `<!-- help NAME -->` is replaced by the help of a command.
"""

from __future__ import annotations

import functools
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.structure.files import File, Files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = (
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "examples/**/README.md",
    "recipes/**/README.md",
    "benchmarks/**/README.md",
    "vivavoce/assets/*/MODEL_CARD.md",
)

_LINK = re.compile(r"(\]\()([^)#\s:]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from other folders of the repository."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Adapt the links of a page to the site, and insert generated help."""
    source = page.file.src_uri
    in_repository = posixpath.join("docs", source) if page.file.generated_by is None else source
    pages = {file.src_uri for file in files}

    def link(match: re.Match[str]) -> str:
        return match[1] + moved(match[2], in_repository, source, pages, repository())

    markdown = _LINK.sub(link, markdown)
    return re.sub(r"<!-- help ([\w-]+) -->", lambda m: help_of(m[1]), markdown)


@functools.cache
def repository() -> str:
    """Return the address of the public repository, which pyproject.toml states.

    It is not given to mkdocs as repo_url, which makes pages ask GitHub for statistics.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def moved(link: str, in_repository: str, in_site: str, pages: set[str], repository: str) -> str:
    """Return a link written for the repository as it must be in the site.

    Files that are not part of the site are linked in the public repository.
    """
    target = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), link))
    if target.removeprefix("docs/") not in pages and (ROOT / target).exists():
        return f"{repository}/blob/main/{target}"
    return posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(in_site) or ".")


def help_of(name: str) -> str:
    """Return a command's help as Markdown: description, usage, and a table of arguments and options."""
    sys.path.insert(0, str(ROOT))  # vivavoce need not be installed
    from vivavoce.cli.main import app

    group: Any = typer.main.get_command(app)
    command = group.commands[name]
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [command.help, "", f"    vivavoce {name} {usage}", "", "| | |", "|---|---|"]
    for parameter in command.params:
        flag, text = map(escaped, parameter.get_help_record(context))
        lines.append(f"| <code>{flag}</code> | {text} |")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Escape plain text for a table cell."""
    return re.sub(r"[^\w\s.,:;()/='-]", lambda m: f"&#{ord(m[0])};", text)
