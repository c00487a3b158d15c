"""Lines of finished runs."""

import multiprocessing

from examples.reproduce.store import Store


def append(path, start):
    for number in range(start, start + 50):
        Store(path).append({"number": number, "padding": "x" * 5000})


def test_lines_of_several_processes_and_of_a_killed_one(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"number": 0}\n{"numb')
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=append, args=(path, start)) for start in (1, 51)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(line["number"] for line in Store(path)) == list(range(101))
