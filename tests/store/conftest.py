import numpy as np
import pytest


@pytest.fixture
def models(make_model):
    return make_model(seed=0, model={"learning": {"a": np.ones(3), "b": {"c": 1}}}), make_model(seed=1)
