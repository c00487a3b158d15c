"""What an experiment found: Markdown beside the paper's numbers, and plots."""

import collections
import statistics

from examples.reproduce import runs
from keras_aqe.files import write_whole

BRACKETS = "the paper's numbers, of its full setting"


def write(sweep):
    """Writes `<experiment>.md` and the figures; returns the Markdown.

    What `notes.md` in the output folder says, of the images for example, stands
    above the results.

    Args:
        sweep: A `Sweep`, of which any number of runs may be finished.
    """
    config, scale = sweep.config, sweep.args.scale
    finished = sweep.finished()
    lines = [f"# {config['title']}", "", _progress(sweep, finished), ""]
    notes = sweep.args.output / "notes.md"
    if notes.exists():
        lines += [notes.read_text()]
    if "table" in config:
        lines += table(config, scale, finished)
    else:
        lines += _stages(sweep, finished)
    text = "\n".join(lines) + "\n"
    sweep.args.output.mkdir(parents=True, exist_ok=True)
    path = sweep.args.output / f"{sweep.args.experiment}.md"
    write_whole(path, lambda path: path.write_text(text))
    return text


def _progress(sweep, finished):
    planned = {runs.key(planned.run) for planned in sweep.resolved()}
    done = [finished[key] for key in planned if key in finished]
    text = f"Scale: {sweep.args.scale}. {len(done)} of {len(planned)} runs"
    if len(sweep.resolved()) < len(sweep.plan):
        text += " whose learning rate is known"
    if not done:
        return f"{text}."
    hours = sum(record["seconds"] for record in done) / 3600
    machines = ", ".join(sorted({_machine(record) for record in done}))
    return f"{text}, {hours:.1f} hours of training in all, on {machines}."


def _machine(record):
    """What trained a run: its GPU, else the processor."""
    device = record.get("device", "cpu")
    return record["machine"] if device.lower() == "cpu" else device


def table(config, scale, finished):
    """The table of the paper, each cell as 'ours (paper)'."""
    measure = config["table"]["measure"]
    digits = {"accuracy": 3, "error": 2, "loss": 1}[measure]
    cells = collections.defaultdict(list)
    for planned in runs.expand(config, scale):
        record = finished.get(runs.key(planned.run))
        if record is not None:
            cells[planned.place].append(record)
    values = {
        column["label"]: column.get("value", "test_accuracy")
        for column in config["column"]
    }
    columns = [c for c in values if any(place[1] == c for place in cells)]
    means = {
        (row, column): _values(records, values[column])
        for (row, column), records in cells.items()
    }
    rows = []
    for row in config["row"]:
        label, paper = row["label"], row.get("paper", {})
        if not any((label, column) in cells for column in columns):
            continue
        texts = []
        for column in columns:
            ours = _measured(
                means.get((label, column), []),
                measure,
                digits,
                means.get(("float", column)),
            )
            theirs = f"{paper[column]:.{digits}f}" if column in paper else "-"
            texts.append(f"{ours} ({theirs})")
        rows.append([label, *texts])
    return [
        *markdown([config["table"]["rows"], *columns], rows),
        "",
        f"In brackets: {config['table'].get('brackets', BRACKETS)}.",
    ]


def _values(records, name):
    return [record[name] for record in records if name in record]


def _measured(values, measure, digits, reference):
    """Formats accuracies as `measure`: accuracy, error (%) or loss (points).

    Several seeds give the mean and the standard deviation.
    """
    if measure == "accuracy":
        return spread(values, 1, digits)
    if measure == "error":
        return spread([1 - value for value in values], 100, digits)
    if not reference:
        return "-"
    best = statistics.mean(reference)
    return spread([best - value for value in values], 100, digits)


def spread(values, factor, digits):
    """'mean ± standard deviation' of several values, or the only one."""
    if not values:
        return "-"
    values = [factor * value for value in values]
    text = f"{statistics.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.{digits}f}"
    return text


def _stages(sweep, finished):
    """For each stage a table, what differs and accuracies, and its figure."""
    stages = collections.defaultdict(dict)
    for planned in sweep.resolved():
        stages[planned.place][runs.key(planned.run)] = planned.run
    drawn = {
        stage["name"]: stage["figure"]
        for stage in sweep.config["stage"]
        if "figure" in stage
    }
    lines = []
    for name, planned in stages.items():
        records = [finished[key] for key in planned if key in finished]
        if records:
            rows = _summary(records, list(planned.values()))
            lines += [f"## {name.capitalize()}", "", *rows, ""]
        if records and name in drawn:
            # Imported here: only figures need matplotlib.
            from examples.reproduce import figures

            lines += figures.write(drawn[name], records, sweep.args)
    return lines


def _summary(records, planned):
    """Accuracies by the settings that differ in the plan, over the seeds."""
    varying = [
        name
        for name in runs.DEFAULTS
        if name != "seed" and len({str(run[name]) for run in planned}) > 1
    ] or ["bits"]
    groups = collections.defaultdict(list)
    for record in records:
        run = {**runs.DEFAULTS, **record["run"]}
        groups[tuple(setting(run[name]) for name in varying)].append(record)
    measured = {
        "hard test": "test_accuracy",
        "hard validation": "validation_accuracy",
        "recalibrated test": "recalibrated_test_accuracy",
    }
    measured = {
        head: name
        for head, name in measured.items()
        if any(name in record for record in records)
    }
    head = [name.replace("_", " ") for name in varying]
    return markdown(
        [*head, "seeds", *measured],
        [
            [
                *settings,
                str(len(group)),
                *(spread(_values(group, n), 1, 4) for n in measured.values()),
            ]
            for settings, group in groups.items()
        ],
    )


def setting(value):
    """A setting of a run in words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {value[name]}" for name in value) or "-"
    if isinstance(value, list):
        return "/".join(map(str, value))
    return "default" if value is None else str(value)


def markdown(head, rows):
    """Returns the lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
