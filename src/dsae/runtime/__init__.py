"""The runtime: a trained model on numpy and the compiled kernels alone."""

from dsae.runtime._runtime import Runtime as Runtime
from dsae.runtime._runtime import load as load
