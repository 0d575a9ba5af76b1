#!/usr/bin/env bash
# A run without Ray: each task of a Slurm array does its share of the rows on a node of its own, beside its own Triton.
# From the clone, which all nodes see at the same place, with `make export` done; all write into one folder:
#   sbatch --array=1-8 docs/cluster/slurm-array.sh --csv /shared/portraits.csv --output /shared/run
# The same command resumes the run. Afterwards, once, without a server: the tables and what describes the dataset.
#   .venv/bin/python client/run_csv.py --csv /shared/portraits.csv --output /shared/run --rebuild-csv
#SBATCH --job-name=relight
#SBATCH --array=1-2
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
cd "${RELIGHT:-$SLURM_SUBMIT_DIR}"

.venv/bin/python -m server --gpus "${SLURM_GPUS_ON_NODE:-0}" --metrics-host 0.0.0.0 &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait' EXIT

# In a step, which gets SIGTERM when the time is nearly over: the photos in flight end, and are not done twice.
code=0
srun --overlap --cpu-bind=none .venv/bin/python client/run_csv.py \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --wait-for-server 1800 "$@" || code=$?
exit "$code"
