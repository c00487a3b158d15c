def operation(input_bits, weight_bits):
    narrow, wide = sorted((input_bits, weight_bits))
    name = "XNOR" if narrow <= 2 else "SHIFT" if narrow == 3 else "MAC"
    return name + " ADDER" if wide >= 16 and name != "MAC" else name
