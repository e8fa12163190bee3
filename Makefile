# All of these set up what they need: a virtual environment in .venv, the messages in install/.
# Where a ROS 2 distribution is sourced it is used; elsewhere ROS 2 comes as Python wheels.
# The demo needs no PyTorch and does not install it; everything else does.

SECONDS = 40
MINUTES = 20
ARGS =
RUN = scripts/run.sh

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak setup build clean

help:
	@echo "make demo            camera, perception and planner for $(SECONDS) s; SECONDS=0: until Ctrl-C"
	@echo "make test            ruff, mypy and pytest; ARGS=\"test/node -k refine\": only those tests"
	@echo "make check           ruff and mypy only"
	@echo "make bench           how fast it is here, beside its targets; docs/performance.md"
	@echo "make soak            3 cameras and a planner for $(MINUTES) min, with a report in soak/"
	@echo "make setup           .venv with the pinned requirements; PYTHON=python3.12: with that one"
	@echo "make build           setup, then the messages"
	@echo "make clean           remove build, install and log; .venv stays"

demo:
	@scripts/setup.sh build light
	@$(RUN) python -m rose_ros.node.demo --seconds $(SECONDS)

test: check
	@$(RUN) python -m pytest $(ARGS)

check: build
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy rose_ros benchmarks

bench: build
	@$(RUN) python -m benchmarks $(ARGS)

soak: build
	@$(RUN) python test/soak/soak.py --minutes $(MINUTES) $(ARGS)

setup:
	@scripts/setup.sh requirements

build:
	@scripts/setup.sh build

clean:
	rm -rf build install log
