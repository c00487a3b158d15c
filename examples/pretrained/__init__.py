"""Trained networks: see README.md and `keras_aqe.models.load_pretrained`."""
