"""Shrinkers: methods that make parameters and codes sparse.

A topology method is drop score x grow score x schedule; `METHODS` lists the combinations by name.
"""

from dsae.shrink._base import Clock as Clock
from dsae.shrink._base import Shrinker as Shrinker
from dsae.shrink._matryoshka import Matryoshka as Matryoshka
from dsae.shrink._penalties import L2 as L2
from dsae.shrink._penalties import Contractive as Contractive
from dsae.shrink._penalties import TargetL0 as TargetL0
from dsae.shrink._penalties import TargetRate as TargetRate
from dsae.shrink._proximal import L1 as L1
from dsae.shrink._proximal import DropZeros as DropZeros
from dsae.shrink._pruner import Pruner as Pruner
from dsae.shrink._revive import AuxK as AuxK
from dsae.shrink._rewire import METHODS as METHODS
from dsae.shrink._rewire import Method as Method
from dsae.shrink._rewire import Rewire as Rewire
from dsae.shrink._rewire import method_for as method_for
from dsae.shrink._rewire import open_ended_method as open_ended_method
from dsae.shrink._rewire import rewire_by as rewire_by
from dsae.shrink._schedule import OpenEnded as OpenEnded
from dsae.shrink._schedule import Schedule as Schedule
from dsae.shrink._swap import swap_parameter as swap_parameter
