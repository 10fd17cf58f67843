"""Training: stages of epochs of steps."""

from dsae.shrink import swap_parameter as swap_parameter
from dsae.train._checkpoint import Checkpoints as Checkpoints
from dsae.train._events import Events as Events
from dsae.train._events import TrainingResult as TrainingResult
from dsae.train._fit import fit_rows as fit_rows
from dsae.train._joint import fit_joint as fit_joint
from dsae.train._joint_partial import learn_joint as learn_joint
from dsae.train._loop import fit as fit
from dsae.train._optim import SparseAdam as SparseAdam
from dsae.train._partial import learn_rows as learn_rows
from dsae.train._run import seconds_of as seconds_of
from dsae.train._stages import Stage as Stage
from dsae.train._stages import joint as joint
from dsae.train._stages import stagewise as stagewise
from dsae.train._start import dense_layers as dense_layers
from dsae.train._start import start_model as start_model
