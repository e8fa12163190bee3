# Source this file to work in a terminal:  . scripts/env.sh
# It activates .venv and what `make build` built. Works in sh, bash and zsh; in plain sh stand in
# the repository's root.

if [ -n "${BASH_SOURCE:-}" ]; then
  rose_root=$(cd "$(dirname "${BASH_SOURCE}")/.." && pwd)
elif [ -n "${ZSH_VERSION:-}" ]; then
  rose_root=$(cd "$(dirname "$0")/.." && pwd)
else
  rose_root=$PWD
fi

. "$rose_root/.venv/bin/activate"
if grep -q "include-system-site-packages = false" "$rose_root/.venv/pyvenv.cfg"; then
  # ROS 2 from wheels: the virtual environment is the ROS installation.
  export AMENT_PREFIX_PATH="$rose_root/.venv" CMAKE_PREFIX_PATH="$rose_root/.venv"
fi
if [ -f "$rose_root/install/local_setup.sh" ]; then
  COLCON_CURRENT_PREFIX="$rose_root/install"
  . "$rose_root/install/local_setup.sh"
  unset COLCON_CURRENT_PREFIX
fi
# Nothing leaves this machine unless asked for.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
unset rose_root
