"""`keras-aqe describe`."""

import subprocess
import sys

import pytest

from keras_aqe.converters.__main__ import main


def describe(path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["keras-aqe", "describe", str(path)])
    main()


def test_the_command_line_describes_a_file(
    minw_file, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "model.tflite"
    minw_file.save(path)
    describe(path, monkeypatch)
    assert str(minw_file.report) in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SystemExit, match="damaged"):
        describe(path, monkeypatch)


@pytest.mark.slow
def test_a_fault_ends_the_process_without_a_traceback(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"no file of ours")
    command = [sys.executable, "-m", "keras_aqe.converters", "describe", path]
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr and "TFL3" in failed.stderr
