"""`keras-aqe benchmark`."""

import pathlib

from keras_aqe.cli import inputs

HELP = "time files in turn, batch 1, and say what they take and run as"
EXAMPLES = """\
examples:
  keras-aqe benchmark model.tflite
  keras-aqe benchmark w1.tflite w2.tflite w3.tflite --threads 2
  keras-aqe benchmark model.tflite --against other.tflite
  keras-aqe benchmark model.tflite --against int8 --float model.keras

--against int8 makes an int8 file of builtin operators of the network that
--float names (a .keras file, whose quantizers are left out, or a .tflite file
of floats; without it the .keras file beside the first file), and times that.

Files run in turn, A B A B, so that all see the same machine. The spread is
that of the middle half of all runs. Memory is what running the file adds to a
fresh process.
"""


def add_arguments(parser):
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help=".tflite files")
    add("--against", metavar="int8|FILE", help="what to compare with")
    add(
        "--float",
        dest="float_model",
        metavar="MODEL",
        help="of what --against int8 is made",
    )
    inputs.add_import(parser)
    add("--threads", type=inputs.positive, default=1, help="(default: 1)")
    add("--rounds", type=inputs.positive, default=12, help="(default: 12)")
    add(
        "--repeats",
        type=inputs.positive,
        default=5,
        help="runs of a file in each round (default: 5)",
    )
    add(
        "--no-profile",
        dest="profile",
        action="store_false",
        help="leave the operators of packed files out",
    )


def run(args):
    contents = {name: pathlib.Path(name).read_bytes() for name in args.files}
    if args.against not in (None, "int8"):
        contents[args.against] = pathlib.Path(args.against).read_bytes()
    elif args.against == "int8":
        contents["int8"] = _int8(args)
    from keras_aqe import progress
    from keras_aqe.converters import comparison

    runs = {
        name: comparison.runner(data, args.threads)
        for name, data in contents.items()
    }
    verbose = inputs.shows_progress(args)
    with progress.bar("timing", verbose, args.rounds) as done:
        times = comparison.times(runs, args.rounds, args.repeats, done)
    results = [
        _result(name, data, times[name], args)
        for name, data in contents.items()
    ]
    if args.against is not None:
        for result in results:
            result["times_faster"] = (
                results[-1]["median_ms"] / result["median_ms"]
            )
    if not args.json:
        _print(results, args)
    return 0, {"threads": args.threads, "files": results}


def _int8(args):
    """The file that `--against int8` stands for."""
    source = args.float_model
    if source is None:
        source = pathlib.Path(args.files[0]).with_suffix(".keras")
        if not source.exists():
            raise inputs.UsageError(
                f"--against int8 is made of a float network, and there is no "
                f"{str(source)!r}. Name one: --float MODEL, a .keras file or a "
                ".tflite file of floats."
            )
    from keras_aqe.converters import comparison

    if str(source).endswith(".tflite"):
        return comparison.int8_of_file(pathlib.Path(source).read_bytes())
    model = inputs.load_model(args, source)
    return comparison.int8(comparison.float_twin(model))


def _result(name, data, times, args):
    import statistics

    from keras_aqe.converters import comparison

    profile = []
    if args.profile:
        profile = comparison.profile(data, args.threads)
    low, _, high = statistics.quantiles(times, n=4)
    return {
        "file": name,
        "bytes": len(data),
        "median_ms": statistics.median(times),
        "spread_ms": high - low,
        "least_ms": min(times),
        "runs": len(times),
        "memory_mib": comparison.peak_mib(data, args.threads),
        "kernels": sorted({part["kernel"] for part in profile}),
        "profile": profile,
    }


def _print(results, args):
    from rich.table import Table

    from keras_aqe import tables

    table = Table(title=f"Batch 1, threads: {args.threads}")
    table.add_column("file")
    headings = ["bytes", "median ms", "spread ms", "least ms", "MiB"]
    if args.against is not None:
        headings.append("times faster")
    for heading in headings:
        table.add_column(heading, justify="right")
    for result in results:
        memory = result["memory_mib"]
        cells = [
            result["file"],
            f"{result['bytes']:,}",
            f"{result['median_ms']:.3f}",
            f"{result['spread_ms']:.3f}",
            f"{result['least_ms']:.3f}",
            "" if memory is None else f"{memory:.1f}",
        ]
        if args.against is not None:
            cells.append(f"{result['times_faster']:.2f}")
        table.add_row(*cells)
    print(tables.render(table))
    for result in results:
        if not result["profile"]:
            continue
        table = Table(title=result["file"])
        for heading in ("layer", "op", "kernel"):
            table.add_column(heading)
        table.add_column("ms", justify="right")
        for part in result["profile"]:
            table.add_row(
                part["layer"], part["op"], part["kernel"], f"{part['ms']:.4f}"
            )
        rest = result["median_ms"] - sum(p["ms"] for p in result["profile"])
        table.add_row("", "all other operators", "", f"{max(rest, 0):.4f}")
        print(tables.render(table))
