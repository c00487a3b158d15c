"""From a Keras model to the graph of what it computes once it is hard."""
