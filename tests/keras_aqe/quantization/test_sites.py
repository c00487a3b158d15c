import numpy as np
import pytest

from keras_aqe.quantization.sites import find, measure
from tests.keras_aqe.quantization.networks import (
    images,
    mobile,
    residual,
    straight,
    trained,
)


def graph(build):
    model = trained(build())
    return model, getattr(model, "_functional", None) or model


@pytest.mark.parametrize(
    "build, first, last, unsigned",
    [
        (
            residual,
            {"first"},
            {"last"},
            {"conv1", "conv2", "conv3", "conv4", "shortcut", "last"},
        ),
        (straight, {"first"}, {"last"}, {"conv", "dense"}),
        (
            mobile,
            {"first"},
            {"score", "classes"},
            {"block/depth", "block/project"},
        ),
    ],
)
def test_where_layers_stand(build, first, last, unsigned):
    _, functional = graph(build)
    sites = find(functional).values()
    assert {site.path for site in sites if site.is_first} == first
    assert {site.path for site in sites if site.is_last} == last
    assert {site.path for site in sites if site.is_unsigned} == unsigned
    for site in sites:
        # Two calls of the layers that are shared.
        twice = build is mobile and not site.is_last
        assert len(site.samples) == 1 + twice


@pytest.mark.parametrize("build", [residual, straight, mobile])
def test_what_layers_see(build):
    model, functional = graph(build)
    sites, x = find(functional), images(model)
    measure(functional, x, sites)
    for site in sites.values():
        seen = np.concatenate(site.measured)
        assert len(site.measured) == len(site.samples)
        assert not site.is_unsigned or seen.min() >= 0
    first = next(site for site in sites.values() if site.is_first)
    given = (
        [np.ravel(image) for image in x.values()]
        if build is mobile
        else [np.ravel(x)]
    )
    for ours, theirs in zip(
        sorted(map(np.sum, first.measured)), sorted(map(np.sum, given))
    ):
        assert ours == pytest.approx(theirs, rel=1e-5)
