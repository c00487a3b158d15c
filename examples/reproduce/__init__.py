"""The tables, figures and ablations of Chen et al., 2020, run by run.

```shell
python -m examples.reproduce table1 --scale small --output runs/table1
```

`configs/` says what is run, one file per table. Each finished run is a line
of `results.jsonl` in the output folder; a sweep that was stopped goes on with
the runs that have no line yet.
"""
