// The door to Python: every call checks its arguments once, lets go of the GIL and calls a kernel.
#include <cstdlib>

#include "bindings/bindings.hpp"
#include "parallel.hpp"

const dsae::Kernels* kernels;

NB_MODULE(_kernels, m) {
  kernels = &dsae::choose(std::getenv("DSAE_ISA"));
  m.def("isa", [] { return kernels->isa; });
  m.def("threads", &dsae::max_threads);
  m.def("empty", [](size_t size) { return array(std::make_unique<Owned<float>>(size)); }, "size"_a);
  bind_layers(m);
  bind_topology(m);
  bind_network(m);
}
