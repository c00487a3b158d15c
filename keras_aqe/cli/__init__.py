"""The command line, `keras-aqe`.

A module for each subcommand has its `HELP`, `EXAMPLES`, `add_arguments` and
`run`. They import Keras and all that needs it in `run` alone, so that help
comes at once.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import re
import signal
import sys

from keras_aqe.cli import (
    benchmark,
    check,
    convert,
    demo,
    describe,
    inputs,
    kernels,
    plot,
    quantize,
    train,
    verify,
)

COMMANDS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        demo,
        quantize,
        train,
        check,
        convert,
        verify,
        describe,
        benchmark,
        kernels,
        plot,
    )
}
_EXIT_CODES = """\
exit codes:
  0  done
  1  the answer is no: a model that does not convert, a file with faults
  2  wrong usage
  3  it failed: a file that cannot be read, a package that is missing
  130  it was interrupted (Ctrl-C)
"""
# Set to anything, it shows where an error comes from that is a fault of ours.
_TRACEBACK = "KERAS_AQE_TRACEBACK"
_EXAMPLES = """\
examples:
  keras-aqe demo
  keras-aqe train digits --input-bits 2 --weight-bits 2 --output runs/digits
  keras-aqe check runs/digits/model.keras
  keras-aqe benchmark runs/digits/model.tflite
"""


class _Version(argparse.Action):
    """Prints the installed version, which takes a while to find."""

    def __init__(self, option_strings, dest, **kwargs):
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(self, parser, *args):
        import importlib.metadata

        print(f"keras-aqe {importlib.metadata.version('keras-aqe')}")
        parser.exit()


def build_parser():
    """Returns the parser of all subcommands."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="keras-aqe",
        description="Networks of 1 to 3 bits for Keras: train, convert, run.",
        epilog=f"{_EXAMPLES}\n{_EXIT_CODES}",
        formatter_class=raw,
    )
    parser.add_argument("--version", action=_Version, help="print the version")
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command"
    )
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.",
            epilog=f"{module.EXAMPLES}\n{_EXIT_CODES}",
            formatter_class=raw,
        )
        module.add_arguments(command)
        command.add_argument(
            "--json", action="store_true", help="print the result as JSON"
        )
    return parser


def is_running():
    """Whether this process is the command line, and not a program of one."""
    # Programs that embed Python may have none.
    name = (getattr(sys, "argv", None) or [""])[0]
    if name == "-m":
        # What Python says while it looks for the module to run, whose name
        # may stand right behind the option.
        pattern = r"(-\w*m)?keras_aqe"
        return any(re.fullmatch(pattern, given) for given in sys.orig_argv)
    return pathlib.Path(name).stem == "keras-aqe"


def begin():
    """Does what comes before Keras is imported, which takes seconds.

    Help, and what is wrong with the arguments, is answered, and the process
    ends with it.
    """
    # TensorFlow writes what it did not find.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Nothing has to be tidied up yet, so Ctrl-C may end the imports.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with _ending():
        build_parser().parse_args()


def main(argv=None):
    """Runs a subcommand and ends the process with its exit code.

    Args:
        argv: Arguments; `None` means those of the process.
    """
    with _ending():
        args = build_parser().parse_args(argv)
        if argv is None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code, result = COMMANDS[args.command].run(args)
        if args.json:
            print(json.dumps(_plain(result), indent=2, allow_nan=False))
    sys.exit(code)


@contextlib.contextmanager
def _ending():
    """Ends the process with a line and an exit code where a command fails."""
    try:
        try:
            yield
        finally:
            _flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Who reads has what they wanted.
        sys.exit(3)
    except inputs.UsageError as error:
        _fail(2, str(error))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        _fail(3, _text(error))
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        _fail(
            3,
            f"{type(error).__name__}: {error} (Set {_TRACEBACK}=1 to see where "
            "this comes from, and please report it.)",
        )


def _flush():
    """Writes what is left; a closed output has none."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        # Python would write it once more at its end, and fail loudly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _text(error):
    """An error in words, without the number that the system gives it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    said = [str(error) or type(error).__name__]
    return " ".join(said + getattr(error, "__notes__", []))


def _fail(code, message):
    """Ends the process; Keras's messages are of several lines, and in bold."""
    message = re.sub(r"\x1b\[\d*m", "", message)
    print(f"keras-aqe: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _plain(value):
    """A result as what JSON has, which knows no NaN and nothing infinite."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
