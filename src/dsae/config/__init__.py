"""What a model is and how it is trained: frozen, checked, and the same in JSON, TOML and Python."""

from dsae.config._activations import ACTIVATIONS as ACTIVATIONS
from dsae.config._activations import CODE_ACTIVATIONS as CODE_ACTIVATIONS
from dsae.config._activations import HIDDEN_ACTIVATIONS as HIDDEN_ACTIVATIONS
from dsae.config._activations import Activation as Activation
from dsae.config._activations import activation_names as activation_names
from dsae.config._activations import activation_of as activation_of
from dsae.config._automatic import automatic_epochs as automatic_epochs
from dsae.config._automatic import automatic_rate as automatic_rate
from dsae.config._automatic import automatic_widths as automatic_widths
from dsae.config._checks import choices_of as choices_of
from dsae.config._checks import did_you_mean as did_you_mean
from dsae.config._checks import in_range as in_range
from dsae.config._checks import known_keys as known_keys
from dsae.config._checks import listed as listed
from dsae.config._checks import one_of as one_of
from dsae.config._checks import positive_int as positive_int
from dsae.config._checks import true_or_false as true_or_false
from dsae.config._losses import LOSSES as LOSSES
from dsae.config._losses import Extra as Extra
from dsae.config._losses import Loss as Loss
from dsae.config._losses import loss_of as loss_of
from dsae.config._model import AutoencoderConfig as AutoencoderConfig
from dsae.config._toml import read_toml as read_toml
from dsae.config._training import SCHEDULES as SCHEDULES
from dsae.config._training import SHRINK as SHRINK
from dsae.config._training import TrainConfig as TrainConfig
