"""The model folder, and checkpoints: written atomically, validated on read."""

from dsae.store._commit import read_steadily as read_steadily
from dsae.store._commit import recover as recover
from dsae.store._commit import replaced as replaced
from dsae.store._model import FORMAT_VERSION as FORMAT_VERSION
from dsae.store._model import Model as Model
from dsae.store._model import check_target as check_target
from dsae.store._model import read as read
from dsae.store._model import write as write
from dsae.store._state import files as files
from dsae.store._state import read_state as read_state
from dsae.store._state import write_state as write_state
