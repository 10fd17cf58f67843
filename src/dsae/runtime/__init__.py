"""The runtime: a trained model on numpy and the compiled kernels alone."""

from dsae.runtime._encoders import check_encoders as check_encoders
from dsae.runtime._encoders import encoded as encoded
from dsae.runtime._encoders import folder_encoders as folder_encoders
from dsae.runtime._joint import JointRuntime as JointRuntime
from dsae.runtime._load import load as load
from dsae.runtime._runtime import Runtime as Runtime
