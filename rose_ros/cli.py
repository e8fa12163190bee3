"""The command line: segment, bag, train, evaluate, export and render, each in its own module.

Exit codes: 0 done, 1 an error that is explained on stderr, 2 wrong usage, 130 interrupted.
Nothing heavy is imported before a command runs, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

from rose_ros import __version__
from rose_ros.errors import RoseError

#: Command -> (module with ``add_arguments(parser)`` and ``run(args) -> int``, one line of help).
COMMANDS = {
    "segment": ("rose_ros.commands.segment", "segment photos: masks with names"),
    "bag": ("rose_ros.commands.bag", "segment a recording, without ROS"),
    "train": ("rose_ros.commands.train", "train a model on tabletop scenes"),
    "evaluate": ("rose_ros.commands.evaluate", "measure a model"),
    "export": ("rose_ros.commands.export", "write the graphs of a model for ONNX Runtime"),
    "build-engine": (
        "rose_ros.commands.build_engine",
        "build TensorRT engines of a model for this machine",
    ),
    "calibrate": (
        "rose_ros.commands.calibrate",
        "make the scores of a checkpoint probabilities",
    ),
    "gallery": ("rose_ros.commands.gallery", "draw what a model does, for the pages"),
    "render": ("rose_ros.commands.render", "write tabletop scenes to files"),
}

#: Packages that only training, export and the torch runtime need.
_NOT_ALWAYS_INSTALLED = ("onnx_ir", "torch", "transformers")

OK, FAILED, INTERRUPTED = 0, 1, 130


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or action.default is False
        return action.help if silent else super()._get_help_string(action)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong usage raises ``SystemExit(2)``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser(arguments).parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        code: int = importlib.import_module(COMMANDS[args.command][0]).run(args)
    except (RoseError, OSError) as error:
        print(f"rose_ros {args.command}: {error}", file=sys.stderr)
        return FAILED
    except ModuleNotFoundError as error:
        if error.name not in _NOT_ALWAYS_INSTALLED:
            raise
        print(
            f"rose_ros {args.command}: {error.name} is not installed, and this needs it; "
            "pip install -r requirements/train.txt, or rose_ros[train,export] without a checkout",
            file=sys.stderr,
        )
        return FAILED
    except KeyboardInterrupt:
        print(f"rose_ros {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser; only the command asked for declares its options."""
    parser = argparse.ArgumentParser(
        prog="rose_ros",
        description="Open-set dense segmentation: instance masks with names.",
        epilog="'rose_ros COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"rose_ros {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=_HelpFormatter,
        )
        if name == wanted:
            importlib.import_module(module).add_arguments(command)
    return parser
