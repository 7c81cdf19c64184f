# Shared by the scripts beside it; sourced, never run. It installs what is missing, and does nothing, quickly, where
# nothing is. All progress goes to standard error, so that the output of `scripts/run draw ...` stays the program's.
# shellcheck shell=bash

EASEL_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=$EASEL_ROOT/.deps
TORCH_VERSION=2.13.0
# Where PyTorch publishes CPU-only wheels. Elsewhere the same version is a CUDA build of several GB.
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
# Compiling one file against ATen takes up to this much memory.
COMPILER_MEMORY_MIB=1300

# What is needed, as COMMAND:PACKAGE where any copy of the command will do, or PACKAGE.
BUILD_NEEDS=(
  cmake:cmake ninja:ninja-build g++:g++ ccache:ccache pkg-config:pkg-config
  nlohmann-json3-dev libcurl4-openssl-dev libspdlog-dev libstb-dev libcli11-dev libicu-dev libjemalloc-dev libjpeg-dev libpng-dev libssl-dev
  libwebp-dev prometheus-cpp-dev
)
TEST_NEEDS=(libgtest-dev libgmock-dev libbenchmark-dev curl:curl node:nodejs npm:npm)

step_number=0
step_count=0

# stage TEXT: announces the next of $step_count stages.
stage() {
  step_number=$((step_number + 1))
  printf '[%d/%d] %s\n' "$step_number" "$step_count" "$1" >&2
}

note() { printf '      %s\n' "$1" >&2; }

die() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

# as_root COMMAND...: as root, by sudo where that is needed.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "root or sudo is needed for: $*"
  fi
}

# missing_packages NEED...: prints the packages that are still to be installed.
missing_packages() {
  local need packages=()
  for need in "$@"; do
    case $need in
      *:*) command -v "${need%%:*}" >/dev/null || printf '%s\n' "${need#*:}" ;;
      *) packages+=("$need") ;;
    esac
  done
  local installed
  installed=" $(dpkg-query --show --showformat='${db:Status-Status}=${Package} ' "${packages[@]}" 2>/dev/null || true)"
  for need in "${packages[@]}"; do
    case $installed in
      *" installed=$need "*) ;;
      *) printf '%s\n' "$need" ;;
    esac
  done
  if [ ! -f "$DEPS/tools/.complete" ] && [ -z "$(python_for_venv)" ]; then
    printf '%s\n' python3 python3-venv
  fi
}

# install_packages NEED...: with apt, and only those that are missing.
install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    note "this is neither Debian nor Ubuntu; taking it that these are installed: $*"
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if [ "${#missing[@]}" = 0 ]; then
    return
  fi
  note "installing ${missing[*]}"
  as_root apt-get update -q >&2
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends ca-certificates "${missing[@]}" >&2
}

# python_for_venv: prints a Python that torch has wheels for and that can make virtual environments; nothing if none is.
python_for_venv() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -c 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
}

# make_venv FOLDER: a virtual environment of that Python. Debian's own Python takes packages in no other way (PEP 668).
make_venv() {
  local python
  python=$(python_for_venv)
  if [ -z "$python" ]; then
    die "no Python between 3.10 and 3.14 with the module ensurepip was found; on Debian: apt-get install python3-venv"
  fi
  rm -rf "$1"
  mkdir -p "$(dirname "$1")"
  "$python" -m venv "$1" >&2
}

# tools_python ARGUMENT...: runs the Python of a virtual environment that holds pip and nothing else.
tools_python() {
  if [ ! -f "$DEPS/tools/.complete" ]; then
    make_venv "$DEPS/tools"
    touch "$DEPS/tools/.complete"
  fi
  "$DEPS/tools/bin/python" "$@" >&2
}

# pip_to FOLDER PIP-ARGUMENT...
pip_to() {
  local target=$1
  shift
  tools_python -m pip install --disable-pip-version-check --upgrade --target "$target" "$@"
}

is_libtorch() { [ -f "$1/lib/libtorch_cpu.so" ] && [ -f "$1/include/ATen/core/Tensor.h" ]; }
is_cuda_libtorch() { [ -f "$1/lib/libtorch_cuda.so" ]; }

# install_libtorch cpu|cuda: puts the wheel into .deps/libtorch-cpu or .deps/libtorch-cuda, once.
install_libtorch() {
  local kind=$1 target=$DEPS/libtorch-$1
  if [ "$(cat "$target/.complete" 2>/dev/null)" = "$TORCH_VERSION" ]; then
    return
  fi
  # A half-finished install leaves nothing behind that a later run would take for a whole one.
  rm -rf "$target"
  if [ "$kind" = cuda ]; then
    note "downloading the CUDA build with NVIDIA's libraries, about 3 GB; it needs a driver of version 580 or newer"
    # Three equal signs leave out the CPU build, whose version is 2.13.0+cpu.
    pip_to "$target" "torch===$TORCH_VERSION"
    is_cuda_libtorch "$target/torch" || die "pip brought a CPU build of torch $TORCH_VERSION; set EASEL_LIBTORCH to a CUDA one"
  elif ! pip_to "$target" --no-deps --index-url "$TORCH_CPU_INDEX" --retries 0 --timeout 8 "torch==$TORCH_VERSION"; then
    note "PyTorch's index of CPU wheels cannot be used from here; asking pip's own index"
    rm -rf "$target"
    pip_to "$target" --no-deps "torch==$TORCH_VERSION"
    if is_cuda_libtorch "$target/torch"; then
      note "that is the CUDA build, which does not load without NVIDIA's libraries; fetching those too, about 3 GB"
      pip_to "$target" "torch==$TORCH_VERSION"
    fi
  fi
  is_libtorch "$target/torch" || die "the torch wheel in $target has no libtorch in it"
  printf '%s\n' "$TORCH_VERSION" >"$target/.complete"
}

# unpacked_libtorch ARCHIVE: unpacks a wheel or a zip under .deps, once, and prints the folder.
unpacked_libtorch() {
  local archive=$1 target
  target=$DEPS/libtorch-$(basename "$archive")
  if [ ! -f "$target/.complete" ] || [ "$archive" -nt "$target/.complete" ]; then
    note "unpacking $archive"
    rm -rf "$target"
    mkdir -p "$target"
    tools_python -m zipfile -e "$archive" "$target" || die "$archive is no zip or wheel"
    touch "$target/.complete"
  fi
  printf '%s\n' "$target"
}

# given_libtorch PLACE: prints the folder with include/ and lib/ that EASEL_LIBTORCH means: that folder, one above it
# (an unpacked zip holds libtorch/, a wheel torch/), a virtual environment, or an archive still to be unpacked.
given_libtorch() {
  local place=$1 folder
  if [ -f "$place" ]; then
    place=$(unpacked_libtorch "$place")
  fi
  for folder in "$place" "$place/libtorch" "$place/torch" "$place"/lib/python3*/site-packages/torch; do
    if is_libtorch "$folder"; then
      (cd "$folder" && pwd)
      return
    fi
  done
  die "EASEL_LIBTORCH=$1 holds no libtorch (a folder with include/ATen and lib/libtorch_cpu.so)"
}

has_nvidia_card() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }

# choose_libtorch [cpu|cuda]: sets and exports EASEL_LIBTORCH, from the caller's own or by installing one. Without an
# argument the card decides.
choose_libtorch() {
  if [ -n "${EASEL_LIBTORCH:-}" ]; then
    EASEL_LIBTORCH=$(given_libtorch "$EASEL_LIBTORCH")
  else
    local kind=${1:-cpu}
    if [ -z "${1:-}" ] && has_nvidia_card; then
      kind=cuda
    fi
    install_libtorch "$kind"
    EASEL_LIBTORCH=$DEPS/libtorch-$kind/torch
  fi
  export EASEL_LIBTORCH
  local build=CPU
  if is_cuda_libtorch "$EASEL_LIBTORCH"; then
    build=CUDA
  fi
  note "the $build build in $EASEL_LIBTORCH"
}

# processors: prints how many there are. nproc alone takes OMP_NUM_THREADS for an answer.
processors() {
  env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc
}

# build_jobs: prints how many compilers this machine's processors and free memory carry.
build_jobs() {
  local count memory_mib
  count=$(processors)
  memory_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  local by_memory=$((memory_mib / COMPILER_MEMORY_MIB))
  if [ "$by_memory" -lt 1 ]; then
    by_memory=1
  fi
  printf '%s\n' $((by_memory < count ? by_memory : count))
}

# configure PRESET: unless build/PRESET already stands on this folder and this libtorch.
configure() {
  local preset=$1 folder=$EASEL_ROOT/build/$1
  local wanted="root=$EASEL_ROOT libtorch=$EASEL_LIBTORCH"
  if [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/.configured" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  (cd "$EASEL_ROOT" && cmake --preset "$preset" --fresh -DEASEL_LIBTORCH="$EASEL_LIBTORCH") >&2
  printf '%s' "$wanted" >"$folder/.configured"
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  cmake --build "$EASEL_ROOT/build/$preset" --parallel "$(build_jobs)" ${1:+--target "$@"} >&2
}
