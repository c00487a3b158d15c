"""What the products and sums of a layer cost."""

from collections.abc import Iterable

# Picojoules at 45 nm and 0.9 V (Horowitz, 2014, Fig. 1.1.9).
_ADD_32_BIT_INTEGERS, _MULTIPLY_8_BIT_INTEGERS = 0.1, 0.2
_ADD_FLOATS, _MULTIPLY_FLOATS = {16: 0.4, 32: 0.9}, {16: 1.1, 32: 3.7}
# A word of 64 bits, the least of the range that is given.
_READ_DRAM_64_BIT = 1300.0


def operation(input_bits: int, weight_bits: int) -> str:
    """Returns the operation of a layer with these widths.

    Source: Chen et al., 2020, Table I.

    Args:
        input_bits: Width of the layer's input; 32 is not quantized.
        weight_bits: Width of the layer's kernel; 32 is not quantized.

    Example:

    ```pycon
    >>> operation(1, 2), operation(3, 16), operation(32, 32)
    ('XNOR', 'SHIFT ADDER', 'MAC')

    ```
    """
    narrow, wide = sorted((input_bits, weight_bits))
    name = "XNOR" if narrow <= 2 else "SHIFT" if narrow == 3 else "MAC"
    return name + " ADDER" if wide >= 16 and name != "MAC" else name


def bit_operations(macs: int, input_bits: int, weight_bits: int) -> int:
    """Bit operations of a layer (BOPs): each bit of one by each of the other.

    `BOPs = MACs * input_bits * weight_bits`

    Source: Baskin et al., 2021, "UNIQ: Uniform Noise Injection for
    Non-Uniform Quantization of Neural Networks", without the accumulator.

    Args:
        macs: Multiply-accumulates.
        input_bits: Width of the input; 32 is float.
        weight_bits: Width of the kernel; 32 is float.

    Example:

    ```pycon
    >>> bit_operations(1000, 2, 3)
    6000

    ```
    """
    return macs * input_bits * weight_bits


def energy(
    macs: int,
    input_bits: int,
    weight_bits: int,
    weight_bytes: float,
    is_float: bool = False,
) -> float:
    """An estimate of a layer's energy for one inference, in microjoules.

    `energy = 1e-6 * (MACs * (product + sum) + 162.5 * weight_bytes)`, where
    162.5 pJ is what it takes to read a byte from DRAM, which the kernel is
    read from once, and, in picojoules,

    - for integers of M and N bits, `product = 0.2 / 64 * M * N` and
      `sum = 0.1 / 32 * (M + N)`: an 8-bit multiplier has 64 cells of one bit
      and takes 0.2 pJ, a 32-bit adder takes 0.1 pJ, and the adders that count
      products are as wide as these;
    - where the wider side is float of 16 or 32 bits, `sum` is 0.4 or 0.9 and
      `product` 1.1 or 3.7; with 1 to 3 bits on the other side (XNOR ADDER and
      SHIFT ADDER) `product` is 0, since signs and exponents only are changed;
    - where a layer `is_float`, it multiplies floats of 32 bits.

    It compares layers and widths on one scale. No processor is as frugal:
    fetching instructions alone takes 70 pJ in the source. Activations that go
    through memory are not counted.

    Source: Horowitz, 2014, "Computing's energy problem (and what we can do
    about it)", ISSCC, Fig. 1.1.9, 45 nm.

    Args:
        macs: Multiply-accumulates.
        input_bits: Width of the input; 16 and 32 are float.
        weight_bits: Width of the kernel; 16 and 32 are float.
        weight_bytes: Bytes of the kernel.
        is_float: Whether it runs in float whatever the widths are.

    Example:

    ```pycon
    >>> [round(energy(10**6, bits, bits, 0), 6) for bits in (1, 32)]
    [0.009375, 4.6]

    ```
    """
    narrow, wide = sorted((input_bits, weight_bits))
    if is_float:
        narrow = wide = 32
    if wide < 16:
        product = _MULTIPLY_8_BIT_INTEGERS / 64 * narrow * wide
        total = _ADD_32_BIT_INTEGERS / 32 * (narrow + wide)
    else:
        floats = 16 if wide == 16 else 32
        product = 0.0 if narrow <= 3 else _MULTIPLY_FLOATS[floats]
        total = _ADD_FLOATS[floats]
    reading = _READ_DRAM_64_BIT / 8 * weight_bytes
    # In one division, so that whole picojoules stay what they are.
    return (macs * (product + total) + reading) / 1e6


class LayerCosts:
    """What a row of a table, which is a layer, costs.

    Attributes:
        macs: Multiply-accumulates of one inference.
        input_bits: Width of its input; 32 is float.
        weight_bits: Width of its kernel; 32 is float.
    """

    macs: int
    input_bits: int
    weight_bits: int

    @property
    def bops(self) -> int:
        """Bit operations of one inference, see `bit_operations`."""
        return bit_operations(self.macs, self.input_bits, self.weight_bits)

    @property
    def energy(self) -> float:
        """An estimate of the energy of one inference in microjoules."""
        return energy(
            self.macs,
            self.input_bits,
            self.weight_bits,
            self._kernel_bytes,
            self._is_float,
        )

    @property
    def _kernel_bytes(self) -> float:
        raise NotImplementedError

    @property
    def _is_float(self) -> bool:
        return False


class TotalCosts:
    """What the rows of a table cost together."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(row.macs for row in self._costs())

    @property
    def bops(self) -> int:
        """Bit operations of one inference, in layers with weights."""
        return sum(row.bops for row in self._costs())

    @property
    def energy(self) -> float:
        """An estimate of the energy of one inference in microjoules."""
        return sum(row.energy for row in self._costs())

    def _costs(self) -> Iterable[LayerCosts]:
        raise NotImplementedError
