# What the job scripts share: the site's settings, modules and networks, and how ranks are started. Sourced by bash.
#
# CONVOY_HOME is a checkout, or the copy that tools/submit makes of what a job needs. In the environment, or in
# slurm/site.env: CONVOY_RUNS (where runs go), CONVOY_DEVICE, CONVOY_LAUNCHER and what site.env.example names. Of
# tools/submit --elastic: CONVOY_RANKS_PER_NODE, which share one task's processors.
# shellcheck shell=bash disable=SC2034  # what the sourcing script uses looks unused here
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"
[ -z "${SLURM_JOB_ID:-}" ] || tool=$SLURM_JOB_NAME

# Reads site.env; what the environment says wins.
load_site() {
  local given file=${CONVOY_SITE:-$root/slurm/site.env}
  [ -f "$file" ] || { [ -z "${CONVOY_SITE:-}" ] || die "CONVOY_SITE: no file $file" 2; return 0; }
  given=$(export -p | sed -n 's/^declare -x \(CONVOY_[A-Z_]*=\)/export \1/p')
  set -a
  # shellcheck disable=SC1090  # the site's
  . "$file" || die "$file: bash cannot read it" 2
  set +a
  eval "$given"
}

load_modules() {
  [ -n "${CONVOY_MODULES:-}" ] || return 0
  local file
  set +eu  # the modules' own scripts are not written for it
  for file in /etc/profile.d/{modules,lmod,z00_lmod}.sh "${LMOD_PKG:-}/init/bash" "${MODULESHOME:-}/init/bash"; do
    # shellcheck disable=SC1090
    command -v module > /dev/null || [ ! -r "$file" ] || . "$file"
  done
  command -v module > /dev/null || die "CONVOY_MODULES=$CONVOY_MODULES, but $(hostname) has no command 'module'"
  # shellcheck disable=SC2086  # several
  module load $CONVOY_MODULES || die "module load $CONVOY_MODULES failed on $(hostname)"
  set -eu
}

use_interface() {
  [ -n "${CONVOY_INTERFACE:-}" ] || return 0
  export NCCL_SOCKET_IFNAME=$CONVOY_INTERFACE
  export OMPI_MCA_btl_tcp_if_include=$CONVOY_INTERFACE OMPI_MCA_oob_tcp_if_include=$CONVOY_INTERFACE
}

# make_command NODES RANKS_PER_NODE ARGUMENT...: fills `command`, which starts `convoy ARGUMENT...` on so many ranks.
# To be run as it stands, so that a signal to it reaches the ranks.
make_command() {
  local nodes=$1 per_node=$2
  shift 2
  if [ "$launcher" = mpirun ]; then
    command=(env "CONVOY=$root/slurm/rank" "OMPI_MCA_rmaps_base_mapping_policy=ppr:$per_node:node"
      "$root/tools/launch" $((nodes * per_node)) "$@")
  else  # srun takes none of these from sbatch in every version
    # What Slurm takes itself, mixed, lets a node out of MPI_Init before the others have come to its end (seen in 22.05);
    # what that node sends next makes Open MPI call a null pointer there, in about one step of 150 to 450.
    command=(env "SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}" srun "--mpi=$launcher" "--nodes=$nodes"
      "--ntasks=$((nodes * per_node))" "--ntasks-per-node=$per_node"
      "--cpus-per-task=$((${SLURM_CPUS_PER_TASK:-1} / ${CONVOY_RANKS_PER_NODE:-1}))" --cpu-bind=cores
      --kill-on-bad-exit=1 "$root/slurm/rank" "$@")
  fi
}
launch() {
  make_command "$@"
  "${command[@]}"
}

nodes_answer() {
  timeout --kill-after=5 60 srun --mpi=none --overlap --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 true
}
# leave STATUS: with that of a training. The ranks notice within their --timeout that a node is lost, Slurm minutes later;
# it queues the job again then, but only while this script is there.
leave() {
  local seconds
  case $1 in 0 | 2 | 75) exit "$1" ;; esac
  if [ "$nodes" -gt 1 ] && ! nodes_answer; then
    seconds=$(scontrol show config | awk '$1 == "SlurmdTimeout" { print 2 * $3 + 60 }')
    say "a node does not answer: waits at most $seconds s for Slurm to notice, and to queue this job again"
    sleep "$seconds"
  fi
  exit "$1"
}
# train ARGUMENT...: on all ranks of the job, from where an earlier turn of it came to.
train() {
  local status=0
  launch "$nodes" "$per_node" train "${training[@]}" "$@" || status=$?
  leave $status
}

# Two ranks, on two nodes where the job has them. Whatever else is wrong with the machines is not this one's to say.
ranks_find_each_other() {
  if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then make_command 2 1 "$@"; else make_command 1 2 "$@"; fi
  timeout --kill-after=10 60 "${command[@]}" < /dev/null > "$greeting" 2>&1 || true
  grep -q '^2 workers' "$greeting"
}

# Sets `launcher` to none (one rank), to a plugin of srun's, or to mpirun: the first by which ranks find each other.
find_launcher() {
  local greeting
  launcher=${CONVOY_LAUNCHER:-}
  [ $((nodes * per_node)) != 1 ] || launcher=none
  [ -z "$launcher" ] || return 0
  greeting=$(mktemp)
  for launcher in pmix $(srun --mpi=list 2>&1 | grep -oE 'pmix_v[0-9]+|pmi2|cray_shasta' | sort -ru) mpirun; do
    if ranks_find_each_other preflight --device cpu --threads 1 --megabytes 1; then
      rm "$greeting"
      return
    fi
  done
  cat "$greeting" >&2
  rm "$greeting"
  die "ranks find each other neither by srun nor by mpirun (last output above); see CONVOY_MODULES in slurm/site.env"
}

# What every script does first. Sets nodes, per_node (ranks), device, run (the job's folder) and the
# options of every training.
begin() {
  load_site
  # shellcheck disable=SC1091  # tools/build writes it: the modules that the program was built with
  [ ! -f "$root/build/environment.sh" ] || . "$root/build/environment.sh"
  load_modules
  use_interface
  nodes=$SLURM_JOB_NUM_NODES
  per_node=${CONVOY_RANKS_PER_NODE:-${SLURM_NTASKS_PER_NODE:-$((SLURM_NTASKS / nodes))}}
  # An elastic job is one task a node for Slurm (tools/submit says why); mpirun asks this variable how many ranks fit.
  [ -z "${CONVOY_RANKS_PER_NODE:-}" ] || export SLURM_TASKS_PER_NODE="$per_node(x$nodes)"
  device=${CONVOY_DEVICE:-cuda}
  runs=${CONVOY_RUNS:-$root/runs}
  run=$runs/$SLURM_JOB_NAME-$SLURM_JOB_ID
  training=(--device "$device" --out "$run" --checkpoint-every 5m --resume auto)
  [ -n "${CONVOY_CONTAINER:-}" ] || [ -x "$root/build/convoy" ] ||
    die "$root/build/convoy is not there: tools/build makes it, or name a container in CONVOY_CONTAINER"
  find_launcher
  say "job $SLURM_JOB_ID, restart ${SLURM_RESTART_COUNT:-0}, on $SLURM_JOB_NODELIST: $nodes x $per_node ranks," \
    "$device, launcher $launcher, $root"
}
