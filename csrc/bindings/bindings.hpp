// Sections of the extension module.
#pragma once

#include "bindings/arrays.hpp"
#include "kernels.hpp"

using namespace nb::literals;

// Of the best instruction set; chosen when the module is loaded.
extern const dsae::Kernels* kernels;

void bind_gram(nb::module_& m);
void bind_layers(nb::module_& m);
void bind_products(nb::module_& m);
void bind_codes(nb::module_& m);
void bind_topology(nb::module_& m);
void bind_network(nb::module_& m);
void bind_ridge(nb::module_& m);
void bind_sparse_rows(nb::module_& m);
void bind_step(nb::module_& m);
void bind_take(nb::module_& m);
