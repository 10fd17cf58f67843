"""Differentiable sparse products on panels: torch tensors in, torch tensors out.

Each verb runs on the compiled kernels for float32 tensors on the CPU and on its plain-torch twin elsewhere (other
devices, other dtypes). A batch is rows ``[batch, features]``, `Panels` or `SparseRows`; see `dsae.kernels`.
"""

from dsae.ops._adam import AdamParameter as AdamParameter
from dsae.ops._adam import Fused as Fused
from dsae.ops._adam import adam_step as adam_step
from dsae.ops._adam import edge_rates as edge_rates
from dsae.ops._adam import rates_by_input as rates_by_input
from dsae.ops._adam import reference as reference
from dsae.ops._autograd import Tape as Tape
from dsae.ops._autograd import dense as dense
from dsae.ops._autograd import is_native as is_native
from dsae.ops._autograd import linear as linear
from dsae.ops._autograd import pack as pack
from dsae.ops._autograd import transformed as transformed
from dsae.ops._autograd import unpack as unpack
from dsae.ops._by_hand import HAND_WRITTEN as HAND_WRITTEN
from dsae.ops._by_hand import ByHand as ByHand
from dsae.ops._by_rows import loss_by_rows as loss_by_rows
from dsae.ops._codes import Code as Code
from dsae.ops._codes import PreCode as PreCode
from dsae.ops._codes import above as above
from dsae.ops._codes import decode as decode
from dsae.ops._codes import kth_of_all as kth_of_all
from dsae.ops._codes import pre_activations as pre_activations
from dsae.ops._codes import read as read
from dsae.ops._codes import topk_of as topk_of
from dsae.ops._copies import exported as exported
from dsae.ops._given import Given as Given
from dsae.ops._given import given_of as given_of
from dsae.ops._grow import absent_gradient_topk as absent_gradient_topk
from dsae.ops._lines import Lines as Lines
from dsae.ops._lines import isa as isa
from dsae.ops._lines import l2_bytes as l2_bytes
from dsae.ops._lines import lines_for as lines_for
from dsae.ops._loss import gram_loss as gram_loss
from dsae.ops._loss import output_gradients as output_gradients
from dsae.ops._loss import tiled_loss as tiled_loss
from dsae.ops._losses import LOSSES as LOSSES
from dsae.ops._losses import TorchLoss as TorchLoss
from dsae.ops._losses import offset_of as offset_of
from dsae.ops._losses import torch_loss as torch_loss
from dsae.ops._native import by_input as by_input
from dsae.ops._native import collect as collect
from dsae.ops._native import csr_linear_by_input as csr_linear_by_input
from dsae.ops._native import csr_sddmm_by_input as csr_sddmm_by_input
from dsae.ops._native import empty as empty
from dsae.ops._native import from_input as from_input
from dsae.ops._native import spread as spread
from dsae.ops._rows import Panels as Panels
from dsae.ops._rows import SparseRows as SparseRows
from dsae.ops._rows import on_features as on_features
from dsae.ops._rows import rows_of as rows_of
from dsae.ops._rows import tensor_of as tensor_of
from dsae.ops._sparse_tower import SparseTower as SparseTower
from dsae.ops._step import COMPARED as COMPARED
from dsae.ops._step import DIFFERENTIATED as DIFFERENTIATED
from dsae.ops._step import MOST_LAYERS as MOST_LAYERS
from dsae.ops._step import NetworkGradients as NetworkGradients
from dsae.ops._step import StepLayer as StepLayer
from dsae.ops._threads import Shared as Shared
from dsae.ops._threads import most_threads as most_threads
from dsae.ops._threads import share_products as share_products
from dsae.ops._threads import sparing_threads as sparing_threads
from dsae.ops._tower import Tower as Tower
