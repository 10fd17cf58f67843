"""Metrics: the error of a reconstruction, the sparsity of a model, and its cost."""

from dsae.metrics._cost import bytes_in_memory as bytes_in_memory
from dsae.metrics._cost import bytes_on_disk as bytes_on_disk
from dsae.metrics._cost import multiply_adds as multiply_adds
from dsae.metrics._cost import nnz as nnz
from dsae.metrics._cost import parameters as parameters
from dsae.metrics._cost import seconds_per_call as seconds_per_call
from dsae.metrics._cost import sizes as sizes
from dsae.metrics._evaluate import evaluate as evaluate
from dsae.metrics._reconstruction import Reconstruction as Reconstruction
from dsae.metrics._reconstruction import bce as bce
from dsae.metrics._reconstruction import cosine as cosine
from dsae.metrics._reconstruction import deviance as deviance
from dsae.metrics._reconstruction import deviance_explained as deviance_explained
from dsae.metrics._reconstruction import fvu as fvu
from dsae.metrics._reconstruction import mse as mse
from dsae.metrics._reconstruction import row_squared_errors as row_squared_errors
from dsae.metrics._reconstruction import squared_error_per_row as squared_error_per_row
from dsae.metrics._recovery import recovery as recovery
from dsae.metrics._sparsity import CodeActivity as CodeActivity
from dsae.metrics._sparsity import activation_rates as activation_rates
from dsae.metrics._sparsity import dead_latents as dead_latents
from dsae.metrics._sparsity import densities as densities
from dsae.metrics._sparsity import firing_threshold as firing_threshold
from dsae.metrics._sparsity import mean_l0 as mean_l0
from dsae.metrics._table import METRICS as METRICS
from dsae.metrics._table import Metric as Metric
