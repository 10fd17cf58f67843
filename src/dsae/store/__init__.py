"""The model folder, and checkpoints: written atomically, validated on read."""

from dsae.store._commit import Committed as Committed
from dsae.store._commit import commit as commit
from dsae.store._commit import committed as committed
from dsae.store._commit import holds_only as holds_only
from dsae.store._header import FORMAT_VERSION as FORMAT_VERSION
from dsae.store._hub import fetched as fetched
from dsae.store._hub import push as push
from dsae.store._joint import JointModel as JointModel
from dsae.store._joint import check_joint_target as check_joint_target
from dsae.store._joint import is_joint as is_joint
from dsae.store._joint import read_joint as read_joint
from dsae.store._joint import write_joint as write_joint
from dsae.store._model import Model as Model
from dsae.store._model import check_target as check_target
from dsae.store._model import holds_detector as holds_detector
from dsae.store._model import model_from_bytes as model_from_bytes
from dsae.store._model import read as read
from dsae.store._model import write as write
from dsae.store._state import state_from_bytes as state_from_bytes
from dsae.store._state import state_to_bytes as state_to_bytes
from dsae.store._text import parse_json as parse_json
from dsae.store._text import read_text as read_text
from dsae.store._weights import Inputs as Inputs
from dsae.store._weights import weights_to_bytes as weights_to_bytes
