"""Sparse layers and autoencoders for torch."""

from dsae.nn._activations import ACTIVATIONS as ACTIVATIONS
from dsae.nn._activations import JumpReLU as JumpReLU
from dsae.nn._autoencoder import Autoencoder as Autoencoder
from dsae.nn._density import target_nnz as target_nnz
from dsae.nn._joint import Joint as Joint
from dsae.nn._joint import JointGiven as JointGiven
from dsae.nn._joint import JointTrace as JointTrace
from dsae.nn._joint import joint_nnz as joint_nnz
from dsae.nn._linear import SparseLinear as SparseLinear
from dsae.nn._linear import move_values as move_values
from dsae.nn._state import as_arrays as as_arrays
from dsae.nn._state import as_tensors as as_tensors
from dsae.nn._state import restored as restored
from dsae.nn._trace import Trace as Trace
from dsae.ops import LOSSES as LOSSES
from dsae.ops import TorchLoss as TorchLoss
