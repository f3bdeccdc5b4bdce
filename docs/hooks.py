"""What mkdocs does for this project beyond its plugins.

Pages that lie elsewhere in the repository, beside what they are about, are part of the site. Links are written as they
are right in the repository; here they are made right for the site. `<!-- help NAME -->` becomes the help of a command.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = (
    "CONTRIBUTING.md",
    "examples/**/README.md",
    "recipes/**/README.md",
    "benchmarks/README.md",
    "vivavoce/assets/*/MODEL_CARD.md",
)

_LINK = re.compile(r"(\]\()([^)#\s:]+)")


def on_files(files: Files, config: Any) -> Files:
    """Pages and pictures from the rest of the repository."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The page with links that are right in the site, and with what is generated."""
    source = page.file.src_uri
    in_repository = posixpath.join("docs", source) if page.file.generated_by is None else source
    markdown = _LINK.sub(lambda m: m[1] + moved(m[2], in_repository, source), markdown)
    return re.sub(r"<!-- help (\w+) -->", lambda m: help_of(m[1]), markdown)


def moved(link: str, in_repository: str, in_site: str) -> str:
    """A link of a page, as written in the repository, from where the page lies in the site."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), link))
    return posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(in_site) or ".")


def help_of(name: str) -> str:
    """A command's arguments and options as a table."""
    sys.path.insert(0, str(ROOT))  # mkdocs may run where vivavoce is not installed
    from vivavoce.cli import app

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
    """Plain text for the cell of a table."""
    return re.sub(r"[^\w\s.,:;()/='-]", lambda m: f"&#{ord(m[0])};", text)
