from keras_aqe import runtime


def interpreter(file, engine="litert", num_threads=1):
    """An interpreter of LiteRT or TensorFlow ("tf") with our delegate."""
    if engine == "tf":
        import tensorflow as tf

        load = tf.lite.experimental.load_delegate
        make = tf.lite.Interpreter
    else:
        from ai_edge_litert import interpreter as litert

        load, make = litert.load_delegate, litert.Interpreter
    delegate = load(runtime.library_path(), {"num_threads": str(num_threads)})
    return make(model_content=file, experimental_delegates=[delegate])


def run(file, *inputs, **options):
    """Outputs of a packed file for inputs of any batch size."""
    engine = interpreter(file, **options)
    details = engine.get_input_details()
    for detail, value in zip(details, inputs):
        if tuple(detail["shape"]) != value.shape:
            engine.resize_tensor_input(detail["index"], value.shape)
    engine.allocate_tensors()
    for detail, value in zip(details, inputs):
        engine.set_tensor(detail["index"], value)
    engine.invoke()
    outputs = [
        engine.get_tensor(detail["index"])
        for detail in engine.get_output_details()
    ]
    return outputs[0] if len(outputs) == 1 else outputs
