// What the tests of the kernels share: random matrices, and outputs that do not depend on the number of threads.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "parallel.hpp"

namespace dsae_tests {

using Floats = std::vector<float>;
using Ints = std::vector<int32_t>;

extern std::mt19937 engine;
extern int passed, failed;

void check(bool good, const std::string& what);
Floats floats(int64_t size);
bool close(const Floats& got, const std::vector<double>& expected);
bool same(const Floats& a, const Floats& b);

struct Matrix {
  int64_t n_rows, n_cols;
  Ints indptr = {0}, indices, rows;

  // Above density 0 the first row is full; one in the middle is empty.
  Matrix(int64_t n_rows, int64_t n_cols, double density) : n_rows(n_rows), n_cols(n_cols) {
    std::uniform_real_distribution<double> uniform;
    for (int64_t r = 0; r < n_rows; ++r) {
      for (int64_t c = 0; c < n_cols; ++c)
        if (density > 0 && (r == 0 || (r != n_rows / 2 && uniform(engine) < density))) {
          indices.push_back(c);
          rows.push_back(r);
        }
      indptr.push_back(indices.size());
    }
  }
  int64_t nnz() const { return indices.size(); }
  dsae::Csr csr() const { return {indptr.data(), indices.data(), n_rows}; }
};

// Runs `kernel` into a poisoned output on 1, 2 and 3 threads; compares each with the oracle, and the bits.
template <class Kernel>
void run(const std::string& what, const std::vector<double>& expected, const Kernel& kernel) {
  Floats first;
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Floats out(expected.size(), NAN);
    kernel(out.data());
    if (threads == 1) first = out;
    check(threads == 1 ? close(out, expected) : same(out, first), what + ", threads " + std::to_string(threads));
  }
}

void test_products(const dsae::Kernels& k, const Matrix& m, int64_t count, int lanes, const std::string& where);
void test_blocks(const dsae::Kernels& k, int lanes, const std::string& where);
void test_rounding(const dsae::Kernels& k, int lanes, int parts, const std::string& where);
void test_bf16_products(const dsae::Kernels& k, const Matrix& m, int64_t count, int lanes, int parts,
                        const std::string& where);
void test_bf16_blocks(const dsae::Kernels& k, int lanes, const std::string& where);
void test_block_products(const dsae::Kernels& k, const Matrix& groups, int64_t n_rows, int size, int64_t count,
                         int lanes, const std::string& where);
void test_block_ends(const dsae::Kernels& k, const Matrix& groups, int64_t n_rows, int size, int lanes,
                     const std::string& where);
void test_columns(const dsae::Kernels& k, const Matrix& m, double share, const std::string& where);
void test_activations(const dsae::Kernels& k, int64_t count, int64_t width, int lanes, const std::string& where);
void test_panels(const dsae::Kernels& k, int64_t n_rows, int64_t width, int lanes, const std::string& where);
void test_sparse_rows(const dsae::Kernels& kernels, const Matrix& m, int lanes, const std::string& where);
void test_gram(const dsae::Kernels& k, const Matrix& m, int64_t n, float unseen, bool shifted,
               const std::string& where);
void test_ridge(const dsae::Kernels& k, const Matrix& m, const std::string& where);
void test_selection(const dsae::Kernels& k, int64_t n_rows, int64_t width, int64_t n, const std::string& where);
void test_codes(const dsae::Kernels& k, const Matrix& m, double share, const std::string& where);
void test_adam(const dsae::Kernels& k, const Matrix& m, const std::string& where);
void test_topology(const dsae::Kernels& k, const Matrix& m, const std::string& where);
void test_faults(const Matrix& m, const std::string& where);
void test_rewire(const Matrix& m, const std::string& where);
void test_draw(const Matrix& m, int64_t n, const std::string& where);
void test_first(const Matrix& m, const std::string& where);
void test_smallest(int64_t size, int64_t n);
void test_taken(const Matrix& m, const std::string& where);
void test_nan(const dsae::Kernels& k, int lanes, const std::string& where);
void test_step(const dsae::Kernels& k, int64_t n_rows, int lanes, int64_t n_groups, double density,
               const std::string& where);
void test_threads();

}  // namespace dsae_tests
