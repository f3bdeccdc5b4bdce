"""Train on a Ray cluster: Ray Train starts the processes, the trainer does the rest, as under `accelerate launch`.

    python examples/ray-train/train.py --workers 2 --gpus 1 -- nanospeech --config recipe.json \
        --data 's3://bucket/train-*.tar' --out /scratch/run --checkpoints s3://bucket/run

Everything after -- is passed to `vivavoce train`. --out is a folder on each node; examples/slurm explains
--checkpoints.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any


def train_loop(config: dict[str, Any]) -> None:
    """Run `vivavoce train` in one of the processes. Ray has set RANK, WORLD_SIZE and the process group."""
    if not config["gpu"]:
        os.environ["ACCELERATE_USE_CPU"] = "1"
    from vivavoce.cli import main, terminal

    status = terminal.run(main.app, ["train", *config["arguments"]])
    if status:
        raise SystemExit(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes in all")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each process; 0 trains on CPUs")
    parser.add_argument("--cpus", type=float, default=1, help="CPUs of each process")
    parser.add_argument("--ray", default="auto", help="the address of a cluster; auto: this machine's, or a new one")
    parser.add_argument("--storage", help="folder or URL for Ray's own notes (default: ~/ray_results)")
    parser.add_argument("arguments", nargs="+", help="after --: what 'vivavoce train' gets")
    given = parser.parse_args()

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    ray.init(address=None if given.ray == "auto" else given.ray, include_dashboard=False)
    resources = {"CPU": given.cpus, **({"GPU": given.gpus} if given.gpus else {})}
    trainer = TorchTrainer(
        train_loop,
        train_loop_config={"arguments": given.arguments, "gpu": given.gpus > 0},
        scaling_config=ScalingConfig(given.workers, use_gpu=given.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(storage_path=given.storage),
    )
    trainer.fit()


if __name__ == "__main__":
    sys.exit(main())
