#!/bin/sh
# Usage: run.sh COMMAND...   run it from the root in the environment that `make build` made
set -e
cd "$(dirname "$0")/.."
. scripts/env.sh
exec "$@"
