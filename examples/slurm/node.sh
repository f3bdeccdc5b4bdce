#!/bin/bash
# One node's part of a training run, started by train.sbatch once on each node. HEAD: the name or address of the first.
set -euo pipefail
GPUS=${SLURM_GPUS_ON_NODE:-1}
exec accelerate launch \
  --num_machines "$SLURM_NNODES" --machine_rank "$SLURM_NODEID" --num_processes "$((SLURM_NNODES * GPUS))" \
  --main_process_ip "$HEAD" --main_process_port "${PORT:-29500}" \
  --multi_gpu --mixed_precision no --dynamo_backend no \
  -m vivavoce.train "$@"
