"""Comparison of a sparse autoencoder with its dense twin, its narrow twin and PCA on one task."""

from dsae.comparison._baselines import DenseEncoder as DenseEncoder
from dsae.comparison._baselines import LinearModel as LinearModel
from dsae.comparison._baselines import narrow_widths as narrow_widths
from dsae.comparison._compare import DENSE as DENSE
from dsae.comparison._compare import LINEAR as LINEAR
from dsae.comparison._compare import NARROW as NARROW
from dsae.comparison._compare import SPARSE as SPARSE
from dsae.comparison._compare import Compared as Compared
from dsae.comparison._compare import Comparison as Comparison
from dsae.comparison._compare import compare as compare
from dsae.comparison._joint import JointComparison as JointComparison
from dsae.comparison._joint import LinearJoint as LinearJoint
from dsae.comparison._joint import compare_joint as compare_joint
