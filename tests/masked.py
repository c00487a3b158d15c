"""Runs tests as processors with fewer instructions would.

```shell
python -m tests.masked tests/keras_aqe tests/converters
```

Each run is a process of its own, since libraries look at the processor once.
"""

import os
import subprocess
import sys

# TensorFlow asks the processor whether it leaves bfloat16 to oneDNN, which
# refuses under a mask: no processor is like that, and an older one computes
# in bfloat16 without oneDNN, as the first mask does.
_NO_BFLOAT16 = ["-m", "not long and not bfloat16"]

# TensorFlow's sums, those of oneDNN beneath it, and our own kernels; and
# arguments of pytest.
MASKS = {
    "without oneDNN": (
        {"TF_ENABLE_ONEDNN_OPTS": "0"},
        ["-m", "not long"],
    ),
    "AVX2": (
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "KERAS_AQE_CPU_FEATURES": "avx2"},
        _NO_BFLOAT16,
    ),
    "SSE 4.1": (
        {"ONEDNN_MAX_CPU_ISA": "SSE41", "KERAS_AQE_CPU_FEATURES": "none"},
        _NO_BFLOAT16,
    ),
    "without XNNPACK": (
        {},
        ["-p", "tests.without_xnnpack", "-m", "not long and not xnnpack"],
    ),
}


def run(mask, arguments):
    """Runs pytest under a mask; returns its exit status."""
    variables, options = MASKS[mask]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        env={**os.environ, **variables},
    ).returncode


def main(arguments):
    failed = []
    for mask, (variables, _) in MASKS.items():
        print(f"== {mask} {variables or ''}", flush=True)
        if run(mask, arguments):
            failed.append(mask)
    if failed:
        sys.exit(f"Failed under: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
