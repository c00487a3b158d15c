"""`keras-aqe describe`."""

import subprocess
import sys


def test_the_command_line_describes_a_file(minw_file, tmp_path):
    path = tmp_path / "model.tflite"
    minw_file.save(path)
    command = [sys.executable, "-m", "keras_aqe.converters", "describe"]
    output = subprocess.run(
        [*command, path], check=True, capture_output=True, text=True
    ).stdout
    assert str(minw_file.report) in output
    path.write_bytes(path.read_bytes()[:1000])
    failed = subprocess.run([*command, path], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr and "damaged" in failed.stderr
