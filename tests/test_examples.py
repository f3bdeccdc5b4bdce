"""The examples for clusters agree with the program: flags, paths, metrics, environment variables."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from vivavoce.cli import main

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def manifests() -> dict[str, dict[str, Any]]:
    """The objects of vivavoce.yaml and monitor.yaml, by kind."""
    files = (EXAMPLES / "kubernetes" / name for name in ("vivavoce.yaml", "monitor.yaml"))
    return {each["kind"]: each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8"))}


def flags(command: str) -> set[str]:
    group: Any = typer.main.get_command(main.app)
    return {flag for parameter in group.commands[command].params for flag in parameter.opts}


def test_the_deployment_starts_the_server_with_flags_that_exist() -> None:
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    arguments = container["args"]
    assert arguments[:2] == ["vivavoce", "serve"]
    assert {word for word in arguments if word.startswith("--")} <= flags("serve")
    group: Any = typer.main.get_command(main.app)
    group.commands["serve"].make_context("serve", arguments[2:])  # raises for a value that would be refused
    workers = arguments[arguments.index("--workers") + 1]
    assert container["resources"]["requests"]["cpu"] == workers
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]


def test_the_autoscaler_uses_a_metric_and_paths_that_the_server_has() -> None:
    pytest.importorskip("prometheus_client")
    from vivavoce.serve.metrics import Metrics

    found = manifests()
    (metric,) = found["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f"\n{name} 0.0" in Metrics().text().decode()
    adapter = yaml.safe_load((EXAMPLES / "kubernetes/adapter.yaml").read_text(encoding="utf-8"))
    assert adapter["rules"]["custom"][0]["seriesQuery"].startswith(name + "{")
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert found["ServiceMonitor"]["spec"]["endpoints"][0]["path"] == "/metrics"
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels == found["ServiceMonitor"]["spec"]["selector"]["matchLabels"]


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_slurm_scripts_start_one_process_for_each_gpu_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "accelerate").write_text('#!/bin/bash\necho "$@"\n')
    (tmp_path / "scontrol").write_text("#!/bin/bash\nprintf 'first\\nsecond\\n'\n")
    (tmp_path / "srun").write_text('#!/bin/bash\nSLURM_NODEID=1 SLURM_GPUS_ON_NODE=8 exec "$@"\n')
    for file in tmp_path.iterdir():
        file.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_NNODES": "2",
        "SLURM_JOB_NODELIST": "x", "SLURM_SUBMIT_DIR": str(EXAMPLES / "slurm"),
    }  # fmt: skip
    command = ["bash", str(EXAMPLES / "slurm/train.sbatch"), "nanospeech", "--data", "s3://b/train-*.tar"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (
        done.stdout.split()
        == (
            "launch --num_machines 2 --machine_rank 1 --num_processes 16 --main_process_ip first "
            "--main_process_port 29500 "
            "--multi_gpu --mixed_precision no --dynamo_backend no -m vivavoce.train nanospeech --data s3://b/train-*.tar"
        ).split()
    )


@pytest.mark.parametrize("page", ["slurm", "ray-train"])
def test_the_commands_of_the_training_examples_have_flags_that_exist(page: str) -> None:
    text = (EXAMPLES / page / "README.md").read_text(encoding="utf-8")
    command = re.search(r"nanospeech( --[^`]+)```", text)
    assert command and set(re.findall(r" (--[\w-]+)", command[1])) <= flags("train")
