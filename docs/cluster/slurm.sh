#!/usr/bin/env bash
# A run over the nodes of one Slurm job: Ray's head and the driver on the first node, a Ray worker on each other one; each
# node starts its own Triton. From the clone, which all nodes see at the same place, with `make export` done:
#   sbatch --nodes=8 docs/cluster/slurm.sh --csv /shared/portraits.csv --output /shared/run --dataset webdataset
# The same command resumes the run. When the job's time is over it ends its photos in flight and queues itself again.
#
# PROMETHEUS_NODES=FOLDER lists the nodes for Prometheus there while the job runs (docker/prometheus/prometheus.yml).
#SBATCH --job-name=relight
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --open-mode=append
set -euo pipefail
cd "${RELIGHT:-$SLURM_SUBMIT_DIR}"
export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0 # by default, Ray's actors have the least priority
# Whoever reaches a Ray without a token can run programs on its nodes.
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
metrics_port=8002

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
first=${nodes[0]} # this script runs there
address=
for candidate in $(getent ahostsv4 "$first" | cut -d' ' -f1) $(hostname -I); do
  case $candidate in
    127.*) ;; # what Debian gives a machine's own name, and no other machine reaches
    *) address=$candidate; break ;;
  esac
done
[[ $address ]] || { echo "$first has no IPv4 address that the other nodes reach: see /etc/hosts." >&2; exit 1; }
head=$address:$((20000 + SLURM_JOB_ID % 10000)) # of this job alone, should two share a node

listed=${PROMETHEUS_NODES:+$PROMETHEUS_NODES/slurm-$SLURM_JOB_ID.yml}
steps=()
# shellcheck disable=SC2317,SC2329  # called by the trap
stop() {
  [[ -z $listed ]] || rm -f "$listed"
  kill "${steps[@]}" 2> /dev/null || true # Ray ends with its step
  wait
}
trap stop EXIT

# A step of its own for each node: when one is lost, the others go on. Ray gets little memory for objects, because
# pictures never go through it.
start_ray() { # NODE OPTION...
  srun --nodes=1 --ntasks=1 --nodelist="$1" --overlap --cpu-bind=none --no-kill \
    .venv/bin/ray start --block --object-store-memory=500000000 "${@:2}" &
  steps+=("$!")
}

start_ray "$first" --head --node-ip-address="$address" --port="${head#*:}"
until said=$(.venv/bin/ray health-check --address "$head" 2>&1); do
  if ! kill -0 "${steps[0]}" 2> /dev/null || ((SECONDS > 600)); then
    echo "Ray's head on $first does not answer: ${said##*$'\n'}" >&2
    exit 1
  fi
  sleep 0.5
done
for node in "${nodes[@]:1}"; do
  start_ray "$node" --address="$head"
done
[[ -z $listed ]] || printf -- '- targets: [ "%s:'$metrics_port'" ]\n' "${nodes[@]}" > "$listed"

# Rows go to the nodes that are there; who comes later, joins in.
.venv/bin/python client/run_csv.py --ray "$head" \
  --server-options "--metrics-host 0.0.0.0 --metrics-port $metrics_port" "$@" &
driver=$! over=
trap 'caught=yes over=yes; kill -TERM "$driver"' USR1
trap 'caught=yes; kill -TERM "$driver"' TERM
while :; do
  code=0 caught=
  wait "$driver" || code=$?
  [[ $caught ]] || break # else it was the signal that ended the wait
done
if [[ $over && $code == 130 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
