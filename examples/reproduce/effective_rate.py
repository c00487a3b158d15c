"""What factor Adam's updates have when the gradient's is (2 alpha)^k.

```shell
python -m examples.reproduce.effective_rate
```

prints the table of docs/learning_rate.md, for the study's steps and schedules.
"""

import numpy as np

import keras_aqe as aqe
from examples.reproduce import report, runs

# Quantizers between the loss and a kernel, its own included: 1 for the last
# layer of a MINW-Net, 9 for the first.
QUANTIZERS = (1, 5, 9)
# Alpha at the start and Adam's beta_2.
SETTINGS = ((0.5, 0.999), (0.1, 0.999), (0.5, 0.9))


def updates(factors, beta_1=0.9, beta_2=0.999):
    """Returns how much larger Adam's updates are, step by step.

    Adam divides a mean of the last `1 / (1 - beta_1)` gradients by the root
    mean square of the last `1 / (1 - beta_2)`. Gradients are taken to be
    independent, with mean 0 and a variance that only the factors change.

    Args:
        factors: Array, the factor of the gradient at each step.
        beta_1: Adam's, of the mean.
        beta_2: Adam's, of the mean square.

    Returns:
        An array, the standard deviation of the update at each step, divided by
        that without factors.
    """
    variance = factors**2
    return np.sqrt(_average(variance, beta_1**2) / _average(variance, beta_2))


def _average(values, beta):
    """The mean that forgets: weights `beta^0, beta^1, ...` from the last."""
    total, weights, means = 0.0, 0.0, []
    for value in values:
        total, weights = beta * total + value, beta * weights + 1
        means.append(total / weights)
    return np.array(means)


def main():
    run = next(runs.expand(runs.load("study"), "small")).run
    steps = run["train_images"] // run["batch_size"] * run["epochs"]
    progress = np.arange(steps) / steps
    rates = run["decay"]["to"] ** progress
    rows = []
    for start, beta_2 in SETTINGS:
        schedule = aqe.schedules.Linear(start=start)
        alpha = np.array([schedule(part) for part in progress])
        for count in QUANTIZERS:
            ratio = updates((2 * alpha) ** count, beta_2=beta_2)
            at_half, at_end = ratio[steps // 2], ratio[-1]
            mean = np.average(ratio, weights=rates)
            columns = (at_half, ratio.max(), at_end, mean)
            rows.append(
                [str(start), str(beta_2), str(count)]
                + [f"{x:.2f}" for x in columns]
            )
    head = ["start", "beta_2", "k", "half-way", "largest", "last step", "mean"]
    print(f"{steps} steps")
    print("\n".join(report.markdown(head, rows)))


if __name__ == "__main__":
    main()
