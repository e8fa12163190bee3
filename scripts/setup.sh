#!/bin/sh
# Usage: setup.sh requirements|build [light|full]
#   requirements  make .venv with the pinned requirements
#   build         the same, then build the messages and install the package into install/
#   light         only what runs exported graphs: no PyTorch; full while rose-tiny has no graphs
#   full          everything: PyTorch, training, export, tests (the default)
# Does only what has changed since the last time, and never takes anything out of .venv. Uses ROS 2
# where one is sourced, else wheels.
set -eu
cd "$(dirname "$0")/.."
root=$PWD

say() { printf 'rose_ros: %s\n' "$1"; }
fail() {
  say "$1" >&2
  exit 1
}

# Show seconds and the last line of $log, over and over on one line of the terminal.
show_progress() {
  begin=$(date +%s)
  while kill -0 $$ 2>/dev/null; do
    printf '\r\033[K  %d s  %.70s' $(($(date +%s) - begin)) "$(tail -n 1 "$log" | tr -d '\r\t')"
    sleep 1
  done
}

# quietly NAME COMMAND...: keep its output in a log; show the end of it when it fails.
quietly() {
  what=$1 log=.setup/$(echo "$1" | tr ' ' '-').log status=0 progress=
  shift
  : >"$log"
  if [ -t 1 ]; then
    show_progress 9>&- &
    progress=$!
  fi
  "$@" >"$log" 2>&1 || status=$?
  [ -z "$progress" ] || { kill "$progress" && printf '\r\033[K'; }
  [ "$status" = 0 ] || {
    tail -n 40 "$log" >&2
    fail "$what failed; the whole output is in $log"
  }
}

# "ros" where a ROS 2 distribution is sourced, else "wheels".
find_mode() {
  if [ -z "${ROS_DISTRO:-}" ] || [ -z "${AMENT_PREFIX_PATH:-}" ]; then
    mode=wheels
  elif python3 -c 'import rclpy' 2>/dev/null; then
    mode=ros
  else
    fail "ROS 2 $ROS_DISTRO is sourced, but $(command -v python3 || echo python3) cannot import\
 rclpy: use the Python that it was built for, or a terminal without ROS"
  fi
}

# Whether python $1 is one that the requirements exist for.
python_fits() {
  [ "$mode" = ros ] ||
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null
}

# Which Debian packages python $1 lacks; empty when it is complete.
python_lacks() {
  "$1" - <<'PY'
import importlib.util, os, sys, sysconfig
name = "python%d.%d" % sys.version_info[:2]
if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
    print(name + "-venv")
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    print(name + "-dev")
PY
}

# Choose $python: the first that fits and is complete, else the first that fits.
find_python() {
  python=
  for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10}; do
    command -v "$candidate" >/dev/null && python_fits "$candidate" || continue
    lacks=$(python_lacks "$candidate")
    [ -n "$python" ] || python=$candidate python_needs=$lacks
    [ -n "$lacks" ] || { python=$candidate python_needs= && return; }
  done
}

# Stop with one line when something is missing that only the system can provide.
check_system() {
  find_python
  [ -n "$python" ] || fail "no Python 3.10, 3.11 or 3.12 found as ${PYTHON:-python3,\
 python3.12, python3.11 or python3.10}: install one, or name one with PYTHON=/path/to/python"
  needs=$python_needs
  command -v cmake >/dev/null || needs="$needs cmake"
  command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null ||
    command -v clang >/dev/null || needs="$needs gcc"
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
    command -v clang++ >/dev/null || needs="$needs g++"
  [ "$mode" = wheels ] || command -v colcon >/dev/null ||
    needs="$needs python3-colcon-common-extensions"
  # shellcheck disable=SC2086 # one word per package
  needs=$(echo $needs)
  [ -z "$needs" ] || fail "something is missing on this machine: sudo apt install $needs"
}

checksum() { sha256sum | cut -d ' ' -f 1; }

# Whether the model of the demo lies here with graphs that were exported from its weights.
has_graphs() {
  [ -f models/rose-tiny/onnx/manifest.json ] && [ -f models/rose-tiny/model.safetensors ] &&
    grep -q "$(checksum <models/rose-tiny/model.safetensors)" models/rose-tiny/onnx/manifest.json
}

# The files of profile $1, the larger one with those of the smaller one.
requirement_files() {
  files=requirements/core.txt
  [ "$mode" = ros ] || files="$files requirements/ros.txt"
  [ "$1" = light ] || files="$files requirements/train.txt requirements/dev.txt"
}

# What .venv/rose_ros-$1.stamp says when profile $1 is installed as it is asked for now.
profile_key() {
  requirement_files "$1"
  # shellcheck disable=SC2086 # one word per file
  echo "$mode $root $(cat requirements/constraints.txt $files | checksum)"
}

is_installed() { [ "$(cat ".venv/rose_ros-$1.stamp" 2>/dev/null)" = "$(profile_key "$1")" ]; }

# install_requirements light|full
install_requirements() {
  ! is_installed "$1" || return 0

  check_system
  system_packages=$([ "$mode" = ros ] && echo true || echo false)
  if ! .venv/bin/python -c '' 2>/dev/null || ! python_fits .venv/bin/python ||
    ! grep -q "include-system-site-packages = $system_packages" .venv/pyvenv.cfg ||
    ! grep -qF "$root/.venv" .venv/bin/activate
  then
    say "making .venv with $("$python" --version)"
    rm -rf .venv build install
    # shellcheck disable=SC2046 # no word at all in the other mode
    quietly "making the environment" "$python" -m venv --prompt rose_ros \
      $([ "$mode" = wheels ] || echo --system-site-packages) .venv
  fi
  [ "$1" = light ] && takes="a minute" || takes="minutes"
  say "installing the requirements into .venv (the first time this takes $takes)"
  requirement_files "$1"
  # shellcheck disable=SC2046,SC2086 # one word per file
  quietly "installing the requirements" .venv/bin/python -m pip install \
    --disable-pip-version-check $(printf -- '-r %s ' $files)
  profile_key "$1" >".venv/rose_ros-$1.stamp"
  [ "$1" = light ] || profile_key light >.venv/rose_ros-light.stamp
}

# All whose change asks for a build: the interfaces by content, the linked files by name.
build_key() {
  {
    cat .venv/rose_ros-light.stamp package.xml CMakeLists.txt cmake/* msg/* srv/*
    find rose_ros config launch models rviz -type f ! -name '*.pyc' | LC_ALL=C sort
  } | checksum
}

build() {
  key=$(build_key)
  [ "$(cat build/rose_ros.stamp 2>/dev/null)" != "$key" ] || return 0
  check_system
  say "building the messages (half a minute the first time)"
  mkdir -p build
  if [ "$mode" = wheels ]; then
    export AMENT_PREFIX_PATH="$root/.venv" CMAKE_PREFIX_PATH="$root/.venv"
  fi
  PATH="$root/.venv/bin:$PATH" VIRTUAL_ENV="$root/.venv" quietly "the build" \
    colcon build --base-paths . --packages-select rose_ros --symlink-install \
    --event-handlers console_direct+ --cmake-args \
    "-DPython3_EXECUTABLE=$root/.venv/bin/python" -DBUILD_TESTING=OFF
  # Links to files that are gone.
  find install -xtype l -delete
  echo "$key" >build/rose_ros.stamp
}

find_mode
# Two makes at once take turns.
mkdir -p .setup
exec 9>.setup/lock
flock 9
profile=${2:-full}
case $profile in
  light) has_graphs || profile=full ;; # without graphs only PyTorch runs the model
  full) ;;
  *) fail "setup.sh installs light or full, not '$profile'" ;;
esac
case ${1:-} in
  requirements) install_requirements "$profile" ;;
  build)
    install_requirements "$profile"
    build
    ;;
  *) fail "setup.sh takes requirements or build, not '${1:-}'" ;;
esac
