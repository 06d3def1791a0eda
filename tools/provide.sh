# Where tools/build takes from what the system lacks and nobody may install, and what it writes down of the system.
# Sourced by bash, after common.sh. CONVOY_DEPS=system takes nothing from anywhere.
# shellcheck shell=bash

deps=$(tr '[:upper:]' '[:lower:]' <<< "${CONVOY_DEPS:-auto}")
case $deps in
  auto | system | fetch) ;;
  *) die "CONVOY_DEPS=$deps: auto, system or fetch expected" 2 ;;
esac
pypi=$cache/pypi

# from_pypi PACKAGE...: into $pypi, a virtual environment that nothing else uses. Fails where CONVOY_DEPS, Python, the
# network or the index say no; what did is on stderr.
from_pypi() {
  [ "$deps" != system ] && command -v python3 > /dev/null || return 1
  say "getting $* from PyPI into $pypi"
  mkdir -p "$cache"
  python3 "$root/tools/python_packages.py" "$pypi" "$@"
}

# program_version FILE: "3.25.1".
program_version() { "$1" --version 2> /dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }

# Whether version $1 is $2 or later.
is_at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# find_program NAME OLDEST: prints the file, of the PATH or of PyPI's environment; fails where neither is new enough.
find_program() {
  local file
  for file in "$(command -v "$1" || true)" "$pypi/bin/$1"; do
    [ -x "$file" ] && is_at_least "$(program_version "$file")" "$2" || continue
    echo "$file"
    return
  done
  return 1
}

# need_program NAME OLDEST PACKAGE: sets the variable NAME to the file; gets it from PyPI, or ends.
need_program() {
  local name=$1 oldest=$2 package=$3
  find_program "$name" "$oldest" > /dev/null || from_pypi "$name>=$oldest" ||
    die "$name $oldest or later is needed; an administrator can install it: apt-get install $package"
  printf -v "$name" %s "$(find_program "$name" "$oldest")"
}

# need_room MEGABYTES WHAT: ends where the build folder's file system has less.
need_room() {
  local free
  free=$(df -Pk "$build" 2> /dev/null | awk 'NR == 2 { print int($4 / 1024) }')
  [ "${free:-$1}" -ge "$1" ] ||
    die "$build has $free MB left, $2 takes $1: make room, or name another folder in CONVOY_BUILD"
}

# An mpicc of conda's comes first on the PATH of many, and knows nothing of a cluster's network.
warn_of_conda() {
  local file
  file=$(realpath "$1" 2> /dev/null) || return 0
  [ ! -d "${file%/bin/*}/conda-meta" ] ||
    say "warning: $1 is conda's, which may not know this machine's network: load an MPI module, or conda deactivate"
}

# value_in_cache NAME FOLDER: of CMake's cache; empty where it was not found.
value_in_cache() { sed -nE "s/^$1:[A-Z]+=(.*)/\1/p" "$2/CMakeCache.txt" | grep -v -- '-NOTFOUND$' || true; }

# record FOLDER: writes FOLDER/environment.sh, for job scripts to source: they run where this shell's modules are not.
record() {
  local mpicc mpirun
  mpicc=$(value_in_cache MPI_C_COMPILER "$1")
  mpirun=$(value_in_cache MPIEXEC_EXECUTABLE "$1")
  if [[ $(value_in_cache MPI_mpi_LIBRARY "$1") = "$pypi"/* ]]; then
    mpicc=$pypi/bin/mpicc mpirun=$pypi/bin/mpirun
  fi
  {
    echo "# Written by tools/build: what this build was made with. What is set already wins."
    printf '%s=${%s-%q}\n' CONVOY_MODULES{,} "$(tr : ' ' <<< "${LOADEDMODULES:-}")" CONVOY_MPICC{,} "$mpicc" \
      CONVOY_MPIRUN{,} "$mpirun" CONVOY_NVCC{,} "$(value_in_cache CONVOY_NVCC "$1")" \
      CONVOY_CUDNN{,} "$(value_in_cache CuDNN_LIBRARY "$1")"
  } > "$1/environment.sh"
}

# What kept the CUDA module out of the build, by CMake's output; nothing where nothing did.
reason_against_cuda() {
  sed -nE 's/.*CUDA: none, so the build is for CPUs \((.*)\)$/\1/p; s/.*CONVOY_CUDA=ON: (.*)/\1/p' "$1" | head -n 1
}

# verdict_on_cuda FOLDER: "yes", or "no, because ...: what to do".
verdict_on_cuda() {
  local reason way_out="load a CUDA module, or tools/build cuda gets what is missing from PyPI"
  reason=$(reason_against_cuda "$1/configure.log")
  if [ -n "$reason" ]; then
    reason=${reason%%; *}
    if [ -f "$1/cuda_from_pypi_was_tried" ]; then
      reason+=", and PyPI did not help"
      way_out="load a CUDA module; tools/cuda_from_pypi $cache/cuda-from-pypi says what PyPI lacks"
    fi
    echo "no, because $reason: $way_out"
  elif grep -q '^-- CUDA: [0-9]' "$1/configure.log"; then
    echo "yes"
  else
    echo "no, because CONVOY_CUDA=OFF"
  fi
}
