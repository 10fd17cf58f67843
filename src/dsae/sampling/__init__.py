"""New codes from codes: mixtures of Gaussians, neighbours, straight lines. Knows nothing of models."""

from dsae.sampling._fit import KINDS as KINDS
from dsae.sampling._fit import MOST_ROWS as MOST_ROWS
from dsae.sampling._fit import check_kind as check_kind
from dsae.sampling._fit import fit_sampler as fit_sampler
from dsae.sampling._mixture import Mixture as Mixture
from dsae.sampling._neighbours import Neighbours as Neighbours
from dsae.sampling._paths import between as between
from dsae.sampling._sampler import Bounds as Bounds
from dsae.sampling._sampler import Sampler as Sampler
from dsae.sampling._state import sampler_of as sampler_of
from dsae.sampling._state import state_of as state_of
