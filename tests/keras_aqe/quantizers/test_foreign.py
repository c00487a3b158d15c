"""Names of Larq and QKeras are answered by those that are known here."""

import re

import pytest

import keras_aqe as aqe
from keras_aqe.quantizers.foreign import counterpart

# What a user of theirs writes, and what is to do here.
NAMES = {
    "ste_sign": "binary",
    "SteSign": "binary",
    "approx_sign": "binary",
    "ApproxSign": "binary",
    "swish_sign": "binary",
    "magnitude_aware_sign": "binary",
    "SteTern": "ternary",
    "ste_tern": "ternary",
    "SteHeaviside": "unsigned_1",
    "DoReFa": "unsigned_<bits>",
    "DoReFaQuantizer": "unsigned_<bits>",
    "dorefa_quantizer": "unsigned_<bits>",
    "DoReFa(k_bit=2)": "unsigned_2",
    "NoOp": None,
    "quantized_bits(4,0,1)": "fixed_4",
    "quantized_bits(bits=3, integer=0)": "po2_3",
    "quantized_bits": "fixed_<bits>",
    "quantized_linear(8)": "fixed_8",
    "quantized_bits(1, 0)": "binary",
    "quantized_bits(4, 0, 0)": "unsigned_4",
    "quantized_bits(2, keep_negative=False)": "unsigned_2",
    "quantized_bits(4, 0, 1, 0)": "fixed_4",
    "quantized_tanh(1)": "binary",
    "quantized_relu(2)": "unsigned_2",
    "quantized_relu(3, 1)": "unsigned_3",
    "quantized_po2(3)": "po2_3",
    "quantized_po2(max_value=1, bits=4)": "po2_4",
    "quantized_tanh(4)": "fixed_4",
    "binary()": "binary",
    "binary(alpha=1)": "binary",
    "ternary()": "ternary",
    "ternary(threshold=0.5)": "ternary",
    "stochastic_ternary('auto')": "stochastic=True",
    "bernoulli()": "stochastic=True",
    # Our own, by class.
    "Binary": "binary",
    "Ternary": "ternary",
    "PowerOfTwo": "po2_<bits>",
    "FixedPoint": "fixed_<bits>",
    "Float16": "float16",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_error_says_what_it_is_here(name):
    with pytest.raises(ValueError) as error:
        aqe.layers.QuantDense(2, kernel_quantizer=name, name="fc")
    text = str(error.value)
    assert "`kernel_quantizer` of layer 'fc'" in text
    assert f"`{name}` is" in text
    assert str(NAMES[name]) in text.split(f"`{name}` is")[1]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_suggested_are_known(name):
    here = counterpart(name).split(" is ")[1]
    for found in re.findall("'([a-z0-9_]+)'", here):
        if found != "ste":
            assert aqe.quantizers.get(found) is not None


def test_objects_and_functions_of_theirs():
    class SteTern:
        pass

    def approx_sign(x):
        return x

    assert "'ternary'" in counterpart(SteTern())
    assert "'ternary'" in counterpart(SteTern)
    assert "'binary'" in counterpart(approx_sign)


@pytest.mark.parametrize(
    "given, message",
    [(2, r"of_width\(2\)"), (aqe.quantizers.Ternary, r"make one, `Ternary\(")],
)
def test_what_is_meant_is_said(given, message):
    with pytest.raises(ValueError, match=message):
        aqe.layers.QuantDense(2, kernel_quantizer=given)


@pytest.mark.parametrize("name", ["foo", "", "foo(2)", "(", 3, object(), []])
def test_what_is_none_of_theirs(name):
    assert counterpart(name) == ""
    with pytest.raises(ValueError, match="`quantizer` of layer 'act'"):
        aqe.layers.QuantActivation(name, name="act")
