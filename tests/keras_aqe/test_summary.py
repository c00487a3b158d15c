import json
import math

import keras
import pytest

import keras_aqe as aqe
from tests.combinations import each_once


def quiet(model):
    return aqe.summary(model, print_fn=lambda text: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits", each_once([1, 2, 3, 16, 32], [3, 1, 32, 2, 16])
)
def test_minw_net(input_bits, weight_bits):
    model = aqe.models.MINWNet(
        "D", input_bits, weight_bits, filters=4, dense_units=6
    )
    table = quiet(model)
    assert [row.input_bits for row in table.rows] == [32] + [input_bits] * 8
    assert {row.weight_bits for row in table.rows} == {weight_bits}
    # positions by hand: 30, 15, 7 squared, times 9 times both channels
    macs = 9 * (900 * (12 + 16) + 225 * (32 + 64) + 49 * (128 + 256))
    assert table.macs == macs + 144 * 6 + 36 + 60
    assert table.macs == sum(table.macs_by_operation.values())
    assert table.weights == 9 * (12 + 16 + 32 + 64 + 128 + 256) + 960
    assert table.weights + table.other_parameters == sum(
        math.prod(w.shape) for w in model.weights if "alpha" not in w.name
    )


def test_nested_models_and_layers_between():
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            keras.layers.MaxPooling2D(),
            aqe.layers.QuantConv2D(6, 3, kernel_quantizer="po2_3"),
            aqe.layers.QuantActivation("ternary"),
        ]
    )
    x = inputs = keras.Input((8, 8, 4))
    x = inner(aqe.quantizers.Binary()(x))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    x = aqe.layers.QuantDense(5, kernel_quantizer="binary")(x)
    x = keras.layers.Dense(2)(x)
    rows = quiet(keras.Model(inputs, x)).rows
    assert [(row.input_bits, row.weight_bits) for row in rows] == [
        (1, 3),
        (2, 1),
        (32, 32),
    ]


def test_separable_and_transposed():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            aqe.layers.QuantSeparableConv2D(
                5, 3, input_quantizer="ternary", kernel_quantizer="binary"
            ),
            aqe.layers.QuantConv2DTranspose(
                3, 2, input_quantizer="binary", kernel_quantizer="binary"
            ),
        ]
    )
    rows = quiet(model).rows
    assert [row.macs for row in rows] == [36 * 36, 36 * 20, 36 * 60]
    assert [row.input_bits for row in rows] == [2, 32, 1]


def test_a_shared_layer_counts_its_weights_once():
    inputs = keras.Input((6,))
    dense = aqe.layers.QuantDense(6, kernel_quantizer="binary")
    table = quiet(keras.Model(inputs, dense(dense(inputs))))
    assert (table.weights, table.macs, table.memory) == (36, 72, 5)


def test_prints(capsys):
    table = aqe.summary(aqe.models.MINWNet("A"))
    assert "1.234 MiB" in str(table)
    assert capsys.readouterr().out == str(table) + "\n"


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    "model, message",
    [
        (keras.Sequential([keras.layers.Dense(2)]), "not built"),
        (
            keras.Sequential(
                [keras.Input((None, 3)), keras.layers.Conv1D(2, 3)]
            ),
            "fixed size",
        ),
        (
            keras.Sequential(
                [
                    keras.Input((4, 3)),
                    keras.layers.TimeDistributed(keras.layers.Dense(2)),
                ]
            ),
            "time_distributed",
        ),
    ],
)
def test_bad_models(model, message):
    with pytest.raises(ValueError, match=message):
        aqe.summary(model)


def test_subclassed_model():
    model = Subclassed()
    model.build((None, 3))
    with pytest.raises(ValueError, match="Functional"):
        aqe.summary(model)


def test_what_rows_cost_as_text_and_as_data():
    table = quiet(
        keras.Sequential(
            [
                keras.Input((8,)),
                aqe.layers.QuantDense(
                    4, input_quantizer="ternary", kernel_quantizer="po2_3"
                ),
                keras.layers.Dense(2),
            ]
        )
    )
    assert [row.bops for row in table.rows] == [32 * 2 * 3, 8 * 32 * 32]
    assert table.bops == 192 + 8192
    assert table.energy == pytest.approx(sum(r.energy for r in table.rows))
    data = json.loads(json.dumps(table.to_dict()))
    assert data["bops"] == table.bops
    assert [row["bops"] for row in data["rows"]] == [192, 8192]
    assert "2 kernels" in repr(table) and len(repr(table)) < 100
    for shown in (str(table), table._repr_html_()):
        assert "BOPs" in shown and "µJ" in shown and "8,192" in shown
