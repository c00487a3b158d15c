"""Recipes: which layers of a network get which widths."""

from keras_aqe.recipes.sensitivity import Sensitivity, sensitivity

__all__ = ["Sensitivity", "sensitivity"]
