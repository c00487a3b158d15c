"""The example fine-tunes and writes its files, on made-up images."""

import json

import keras
import pytest

from examples import finetune_float

SIZES = [
    *("--train-images", "32", "--batch-size", "16", "--filters", "4"),
    *("--epochs", "2", "--float-epochs", "1"),
]


def lines(output):
    results = json.loads((output / "results.json").read_text())
    return [
        (line["network"], line["bits"], line["epochs"])
        for line in results["runs"]
    ]


@pytest.mark.program
def test_from_a_float_network_and_from_scratch(noise, tmp_path, capsys):
    arguments = [*SIZES, "--output", str(tmp_path)]
    finetune_float.main([*arguments, "--widths", "2", "--scratch"])
    assert lines(tmp_path) == [
        ("float", 32, 1),
        ("fine-tuned", 2, 2),
        ("from scratch", 2, 3),
    ]
    assert "fine-tuned       2" in capsys.readouterr().out
    model = keras.models.load_model(tmp_path / "2-bit.keras")
    assert model.get_layer("stage1_conv1").kernel_quantizer.bits == 2


@pytest.mark.program
def test_from_a_file(noise, tmp_path):
    finetune_float.resnet8(4).save(tmp_path / "float.h5")
    arguments = [*SIZES, "--output", str(tmp_path)]
    finetune_float.main(
        [*arguments, "--widths", "32", "--float-model"]
        + [str(tmp_path / "float.h5")]
    )
    assert lines(tmp_path) == [("float", 32, 0), ("fine-tuned", 32, 2)]


def test_from_scratch_there_is_nothing_to_compare_with_a_file(capsys):
    with pytest.raises(SystemExit):
        finetune_float.parse(["--scratch", "--float-model", "mlperf"])
    assert "without --float-model" in capsys.readouterr().err
