"""The runtime: a trained model on numpy and the compiled kernels alone."""

from dsae.runtime._joint import JointRuntime as JointRuntime
from dsae.runtime._joint import check_encoders as check_encoders
from dsae.runtime._joint import encoded as encoded
from dsae.runtime._joint import folder_encoders as folder_encoders
from dsae.runtime._load import load as load
from dsae.runtime._runtime import Runtime as Runtime
