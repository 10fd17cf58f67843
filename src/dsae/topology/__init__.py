"""Topologies: which weights exist; shared by kernels, layers and files."""

from dsae.topology._choose import erdos_renyi as erdos_renyi
from dsae.topology._choose import inactive_edges as inactive_edges
from dsae.topology._choose import promising_edges as promising_edges
from dsae.topology._choose import random_topology as random_topology
from dsae.topology._choose import weakest as weakest
from dsae.topology._choose import weakest_blocks as weakest_blocks
from dsae.topology._layer import Layer as Layer
from dsae.topology._neighbours import neighbour_edges as neighbour_edges
from dsae.topology._rewiring import Rewiring as Rewiring
from dsae.topology._topology import Topology as Topology
from dsae.topology._topology import is_canonical as is_canonical
