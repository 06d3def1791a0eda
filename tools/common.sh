# What the scripts of tools/ share: messages, the number of jobs, and installing Debian packages. Sourced by bash.
# shellcheck shell=bash disable=SC2034  # what the sourcing script uses looks unused here

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${CONVOY_BUILD:-$root/build}  # elsewhere where the sources are read-only
case $build in /*) ;; *) build=$PWD/$build ;; esac
cache=${CONVOY_CACHE:-$build}  # what is fetched
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
tool=tools/$(basename "$0")
use_sudo=yes  # --no-sudo: no

say() { echo "$tool: $*"; }
die() { echo "$tool: $1" >&2; exit "${2:-1}"; }

[ "$(uname -s)" = Linux ] ||
  die "Linux is needed, this is $(uname -s): use WSL, or: docker run -it -v \"\$PWD:/convoy\" -w /convoy debian:13 tools/quickstart"

# Prints the comment that a script opens with, as its --help.
help_of() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$1"; }

# Prints the CUDA compiler of this machine; nothing where there is none.
find_nvcc() {
  local file=${CUDA_HOME:-/usr/local/cuda}/bin/nvcc
  command -v nvcc || { [ ! -x "$file" ] || echo "$file"; }
}

# wait_for PID: returns the exit status of a job of this shell, however many trapped signals end `wait` early.
wait_for() {
  local status last=none
  while true; do
    status=0
    wait "$1" || status=$?
    # Above 128 it ended by a signal, or a trapped one ended `wait`: waiting once more says which.
    [ "$status" -gt 128 ] || break
    if [ "$status" = "$last" ] && ! kill -0 "$1" 2> /dev/null; then break; fi
    last=$status
  done
  if [ "$status" = 127 ] && [ "$last" != none ]; then status=$last; fi  # the shell had told it already
  return "$status"
}

# Cores this process may use, within cgroup limits, and no more than one per 2 GB of available memory: what the
# largest compilations need.
job_count() {
  local jobs quota period memory limit used
  jobs=$(nproc)
  if read -r quota period < /sys/fs/cgroup/cpu.max && [ "$quota" != max ]; then
    jobs=$((jobs * period < quota ? jobs : (quota + period - 1) / period))
  fi 2> /dev/null
  memory=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
  if read -r limit < /sys/fs/cgroup/memory.max && read -r used < /sys/fs/cgroup/memory.current &&
    [ "$limit" != max ]; then
    limit=$(((limit - used) / 1048576))
    memory=$((limit < memory ? limit : memory))
  fi 2> /dev/null
  jobs=$((jobs * 2000 < memory ? jobs : memory / 2000))
  echo $((jobs < 1 ? 1 : jobs))
}

# Whether the mpicc on the PATH is of another MPI than Debian's Open MPI, whose mpicc may be there without its headers.
# Open MPI's packages beside it would take its name.
has_other_mpi() {
  local mpicc
  mpicc=$(command -v mpicc) && [ "$(realpath "$mpicc")" != /usr/bin/opal_wrapper ]
}

# The packages among the arguments that are not there. Of g++, cmake, ninja and MPI any copy on the PATH will do.
missing_packages() {
  local installed package
  # dpkg also knows what was removed, and what others only name.
  installed=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2> /dev/null || true; } |
    awk '$1 == "installed" { print $2 }')
  for package in "$@"; do
    case $package in
      g++ | cmake) command -v "$package" > /dev/null && continue ;;
      ninja-build) command -v ninja > /dev/null && continue ;;
      libopenmpi-dev | openmpi-bin) has_other_mpi && continue ;;
    esac
    grep -qxF "$package" <<< "$installed" || echo "$package"
  done
}

# "3 packages, 12 MB to download"; fails, with apt's complaint on stderr, where apt cannot resolve the packages.
download_size() {
  local uris
  uris=$(apt-get install --print-uris -qq --no-install-recommends "$@" < /dev/null) || return
  awk -v quote="'" 'index($0, quote) == 1 { n++; bytes += $3 }
    END { printf "%d packages, %.0f MB to download\n", n, bytes / 1e6 }' <<< "$uris"
}

# Fills as_root, the words before a command that needs root: none, or sudo (one prompt on a terminal, none elsewhere).
# Fails, the second time at once, where there is no way.
as_root=()
gain_root() {
  [ "$(id -u)" != 0 ] || return 0
  [ $use_sudo = yes ] && command -v sudo > /dev/null || return 1
  [ ${#as_root[@]} = 0 ] || return 0
  if [ -t 0 ] && [ -t 1 ]; then
    say "installing needs root; to go on without, press Control-C at sudo's prompt or give --no-sudo"
    as_root=(sudo)
    sudo -v && return
  else
    as_root=(sudo -n)
    sudo -n true 2> /dev/null && return
  fi
  use_sudo=no
  return 1
}

# dpkg's two lines a package are for someone who watches; complaints always arrive.
apt_get() {
  local output=/dev/null
  [ ! -t 1 ] || output=/dev/stdout
  # NOWARNINGS: without apt-utils, as in containers, debconf says in each run that it asks later what nobody is asked.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes \
    apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -qq "$@" < /dev/null > $output
}

# The lists' lock has no time-out of its own in apt, so a few attempts.
apt_update() {
  local pause
  say "apt-get update"
  for pause in 5 15 30 0; do
    apt_get update && return
    sleep $pause
  done
  return 1
}

# Sets size to download_size of the packages in `missing`, after leaving out those that this distribution lacks.
# Fails, with apt's complaint in `complaint`, where apt has another reason.
resolve_missing() {
  local package
  while [ ${#missing[@]} -gt 0 ]; do
    if size=$(download_size "${missing[@]}" 2> "$complaints"); then return 0; fi
    complaint=$(grep -m1 '^E:' "$complaints")
    package=$(sed -nE "s/^E: Unable to locate package ([^ ]+)$/\1/p; s/^E: Package '([^']+)' has no .*/\1/p" \
      <<< "$complaint")
    [ -n "$package" ] && [ "$1" = final ] || return 1
    say "this distribution has no package $package; going on without it"
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | grep -vxF "$package")
  done
}

# install_packages NAME...: installs those that are missing, if apt and root are there. Never fails: what is
# missing in the end is named in one line, and whoever needs it says so itself.
install_packages() {
  local missing complaints size="" complaint=""
  if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    say "no apt here: if something is missing below, ask an administrator for what Debian calls: $*"
    return 0
  fi
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0

  complaints=$(mktemp)
  if ! resolve_missing first && gain_root; then  # no lists yet, or old ones
    apt_update || true
    resolve_missing final || say "apt cannot install ${missing[*]}: $complaint"
  fi
  rm -f "$complaints"
  if [ -n "$size" ] && [ ${#missing[@]} -gt 0 ]; then
    say "apt-get install -y --no-install-recommends ${missing[*]} ($size)"
    if gain_root; then
      apt_get install -y --no-install-recommends "${missing[@]}" ||
        { apt_update && apt_get install -y --no-install-recommends "${missing[@]}"; } || true
    fi
  fi
  mapfile -t missing < <(missing_packages "${missing[@]}")
  [ ${#missing[@]} = 0 ] ||
    say "going on without ${missing[*]}: no root here, or apt failed; an administrator can install them by these names"
}
