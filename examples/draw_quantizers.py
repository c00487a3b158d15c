"""Draw what each quantizer computes in training, and its gradient.

The pictures of the documentation's page on quantizers:

```shell
python -m examples.draw_quantizers docs/pictures
```
"""

import argparse
import pathlib

import matplotlib.pyplot

import keras_aqe as aqe

# By name; each is one picture.
QUANTIZERS = ("binary", "ternary", "po2_3", "po2_4", "fixed_4", "unsigned_2")
ALPHAS = (0.1, 0.5, 1.0)


def draw(folder):
    """Writes `NAME.svg` for each quantizer into an existing folder."""
    style = {
        # Text stays text, and the same picture is the same file.
        "svg.fonttype": "none",
        "svg.hashsalt": "keras-aqe",
        "path.simplify_threshold": 0.5,
    }
    with matplotlib.rc_context(style):
        for name in QUANTIZERS:
            quantizer = aqe.quantizers.get(name)
            figure = aqe.plots.quantizer_curves(quantizer, ALPHAS)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            matplotlib.pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path)
    draw(parser.parse_args().folder)


if __name__ == "__main__":
    main()
