"""What Python says of the kernels, and of what an interpreter runs."""

import pathlib
import platform
import re

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_aqe import runtime

CPUINFO = pathlib.Path("/proc/cpuinfo")
# What Linux calls that which a feature stands for.
FLAGS = {
    "avx2": "avx2 fma bmi2 popcnt",
    "avx512": "avx512f avx512bw avx512dq avx512vl",
    "avx512vnni": "avx512_vnni",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "avx512gfni": "avx512vbmi gfni",
    "amx": "amx_tile amx_int8",
}


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not CPUINFO.exists(),
    reason="the names are those of Linux on x86-64",
)
def test_the_features_of_the_cpu_are_those_that_linux_lists(monkeypatch):
    monkeypatch.delenv("KERAS_AQE_CPU_FEATURES", raising=False)
    listed = re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)
    flags = set(listed[1].split())
    expected = [name for name in FLAGS if {*FLAGS[name].split()} <= flags]
    assert runtime.kernels()[0] == (",".join(expected) or "none")


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_no_name_of_a_kernel_is_cut(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    rows = runtime.describe()
    printed = capsys.readouterr().out
    assert rows == runtime.kernels()[1]
    for row in rows:
        assert f" {row['name']} " in printed
    # Nor is anything else.
    assert "…" not in printed


@pytest.mark.parametrize("profile", [False, True])
def test_profile_counts_the_runs_of_each_operator(profile, minw_files):
    delegate = runtime.load_delegate(profile=profile)
    interpreter = Interpreter(
        model_content=minw_files["packed"].flatbuffer,
        experimental_delegates=[delegate],
    )
    assert runtime.profile(delegate) == []
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    interpreter.set_tensor(
        source["index"], np.zeros(source["shape"], source["dtype"])
    )
    for _ in range(3):
        interpreter.invoke()
    found = runtime.profile(delegate)
    known = [kernel["name"] for kernel in runtime.kernels()[1]]
    assert found and all(part["kernel"] in known for part in found)
    assert [part["operator"] for part in found] == sorted(
        part["operator"] for part in found
    )
    assert {part["runs"] for part in found} == {3 if profile else 0}
    assert all((part["nanoseconds"] > 0) == profile for part in found)
