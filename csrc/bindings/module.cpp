// dsae._kernels, private to dsae: every call checks types, shapes and where rows begin, lets go of the GIL and calls a
// kernel. Column indices and slots are trusted, for a dsae.topology.Topology has checked them once; with
// DSAE_CHECK_INDICES every call checks them again.
#include <cstdlib>

#include "bindings/bindings.hpp"
#include "cache.hpp"
#include "parallel.hpp"

const dsae::Kernels* kernels;

NB_MODULE(_kernels, m) {
  kernels = &dsae::choose(std::getenv("DSAE_ISA"));
  m.def("isa", [] { return kernels->isa; }, "Name of the instruction set in use.");
  m.def("threads", &dsae::max_threads, "Threads that a kernel called from this thread may use.");
  m.def("set_threads", &dsae::set_max_threads, "n"_a,
        "Let kernels called from this thread use ``n`` threads; 0 follows torch, else OMP_NUM_THREADS. Gives what was "
        "set.");
  m.def("l2_bytes", &dsae::l2_bytes, "Bytes of a core's second-level cache, half of which a block of columns fills.");
  m.def(
      "set_l2_bytes", &dsae::set_l2_bytes, "bytes"_a,
      "Size blocks for another such cache; 0 asks the machine again. Gives what was set. No bit of a result changes.");
  m.def("clear_cache", &dsae::clear_cache, "Free the memory kept for the next arrays, at most 256 MiB.");
  m.def(
      "empty", [](size_t size) { return array(std::make_unique<Owned<float>>(size)); }, "size"_a,
      "An uninitialised float32 vector on a cache line.");
  bind_layers(m);
  bind_sparse_rows(m);
  bind_codes(m);
  bind_gram(m);
  bind_products(m);
  bind_topology(m);
  bind_network(m);
  bind_ridge(m);
  bind_step(m);
  bind_take(m);
}
