"""The files in deploy/ fit the program: its commands, flags and metrics."""

from __future__ import annotations

import configparser
import json
import plistlib
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from vivavoce.cli import main


def known_flags(command: str) -> set[str]:
    found = typer.main.get_command(main.app).commands[command]  # type: ignore[attr-defined]
    return {name for parameter in found.params for name in parameter.opts}


def check_command(words: list[str]) -> None:
    program, command, *arguments = words
    assert Path(program).name == "vivavoce"
    assert {word for word in arguments if word.startswith("--")} <= known_flags(command)


def test_the_systemd_unit_starts_the_server(root: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(root / "deploy" / "vivavoce.service", encoding="utf-8")
    assert unit.sections() == ["Unit", "Service", "Install"]
    check_command(shlex.split(unit["Service"]["ExecStart"]))
    assert unit["Service"]["StateDirectoryMode"] == "0700"  # the server refuses a folder that others can read


def test_the_launchd_agent_starts_the_server(root: Path) -> None:
    agent = plistlib.loads((root / "deploy" / "org.vivavoce.serve.plist").read_bytes())
    check_command(agent["ProgramArguments"])
    assert agent["Label"] == "org.vivavoce.serve" and agent["RunAtLoad"] is True


def test_the_dashboard_asks_for_metrics_that_exist(root: Path) -> None:
    pytest.importorskip("prometheus_client")
    from vivavoce.serve.metrics import Metrics

    metrics = Metrics()
    metrics.requests.labels("/v1/audio/speech", "POST", "200").inc()
    exported = set(re.findall(r"^(vivavoce_\w+)", metrics.text().decode(), re.MULTILINE))
    board = json.loads((root / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    used = {name for expression in asked for name in re.findall(r"vivavoce_\w+", expression)}
    assert used <= exported and len(used) > 8
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
