// Every kernel, at every level this CPU runs, against a triple loop; and the same bits on 1, 2 and 3 threads.
#include <algorithm>
#include <cstdio>

#include "laws.hpp"

using namespace dsae_tests;

int main() {
  for (auto level = dsae::levels(); *level; ++level)
    for (const auto& [n_rows, n_cols] :
         {std::pair<int, int>{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 40}, {33, 70}, {70, 131}})
      for (double density : {0.0, 0.03, 0.3, 1.0}) {
        const Matrix m(n_rows, n_cols, density);
        const std::string shape = std::string((*level)->isa) + " " + std::to_string(n_rows) + "x" +
                                  std::to_string(n_cols) + " density " + std::to_string(density);
        test_topology(**level, m, shape);
        test_adam(**level, m, shape);
        test_ridge(**level, m, shape);
        for (int64_t n : {0, 1, 7, 40})
          for (bool shifted : {false, true})
            test_gram(**level, m, n, n == 7 ? 0.3f : 1, shifted, shape + ", samples " + std::to_string(n));
        for (double share : {0.0, 0.1, 1.0}) {
          test_columns(**level, m, share, shape + ", live " + std::to_string(share));
          test_codes(**level, m, share, shape + ", live " + std::to_string(share));
        }
        for (int lanes : {1, 16, 32})
          test_activations(**level, n_rows, n_cols, lanes, shape + ", lanes " + std::to_string(lanes));
        test_faults(m, shape);
        test_rewire(m, shape);
        test_first(m, shape);
        const int64_t dead = m.n_rows * m.n_cols - m.nnz();
        for (int64_t n : {int64_t{0}, dead / 1000, dead / 3, dead - dead / 10, dead}) test_draw(m, n, shape);
        for (int lanes : {16, 32, 64}) {
          const std::string where = shape + ", lanes " + std::to_string(lanes);
          test_panels(**level, n_rows, n_cols, lanes, where);
          test_sparse_rows(**level, m, lanes, where);
          for (int64_t count : {0, 1, 3})
            test_products(**level, m, count, lanes, where + ", panels " + std::to_string(count));
          for (int size : {4, 8})
            for (int64_t narrower : {0, 1, size - 1})
              for (int64_t count : {0, 1, 6})
                test_block_products(
                    **level, m, std::max<int64_t>(0, n_rows * size - narrower), size, count, lanes,
                    where + ", blocks of " + std::to_string(size) + ", panels " + std::to_string(count));
        }
        for (const auto& [lanes, parts] : {std::pair<int, int>{32, 1}, {64, 1}, {64, 2}}) {
          const std::string where = shape + ", lanes " + std::to_string(lanes) + " / " + std::to_string(parts);
          for (int64_t count : {0, 1, 3})
            test_bf16_products(**level, m, count, lanes, parts, where + ", panels " + std::to_string(count));
        }
      }
  for (auto level = dsae::levels(); *level; ++level)
    for (int lanes : {16, 32, 64})
      test_nan(**level, lanes, std::string((*level)->isa) + ", lanes " + std::to_string(lanes));
  for (auto level = dsae::levels(); *level; ++level)
    for (int lanes : {16, 32, 64})
      for (int64_t n_rows : {1, 40, 150})
        for (int64_t n_groups : {1, 2, 16})
          for (double density : {0.0, 0.3, 1.0})
            test_step(**level, n_rows, lanes, n_groups, density,
                      std::string((*level)->isa) + ", lanes " + std::to_string(lanes) + ", rows " +
                          std::to_string(n_rows) + ", groups " + std::to_string(n_groups) + ", density " +
                          std::to_string(density));
  test_threads();
  for (int64_t width : {1, 40, 5000}) test_taken(Matrix(70, width, 0.2), "of " + std::to_string(width) + " columns");
  for (auto level = dsae::levels(); *level; ++level)
    for (const auto& [width, n] : {std::pair<int, int>{1, 1}, {40, 3}, {40, 40}, {700, 5}, {700, 200}})
      for (int n_rows : {0, 1, 5})
        test_selection(**level, n_rows, width, n,
                       std::string((*level)->isa) + " " + std::to_string(n) + " of " + std::to_string(width));
  // Wide enough to be visited in blocks of columns.
  const Matrix wide(5, 9000, 0.05);
  for (auto level = dsae::levels(); *level; ++level)
    for (int lanes : {16, 32, 64})
      test_products(**level, wide, 2, lanes, std::string((*level)->isa) + " 5x9000, lanes " + std::to_string(lanes));
  // More samples than a product of matrices holds at once.
  const Matrix outputs(33, 70, 0.3);
  for (auto level = dsae::levels(); *level; ++level)
    test_gram(**level, outputs, 150, 1, true, std::string((*level)->isa) + " 33x70, samples 150");
  for (auto level = dsae::levels(); *level; ++level)
    for (int lanes : {16, 32, 64}) test_blocks(**level, lanes, std::string((*level)->isa));
  for (auto level = dsae::levels(); *level; ++level) {
    for (int lanes : {32, 64}) test_bf16_blocks(**level, lanes, (*level)->isa);
    for (const auto& [lanes, parts] : {std::pair<int, int>{32, 1}, {64, 1}, {64, 2}})
      test_rounding(**level, lanes, parts, (*level)->isa);
  }
  const Matrix long_groups(5, 3000, 0.05);
  for (auto level = dsae::levels(); *level; ++level)
    for (int size : {4, 8})
      test_block_products(**level, long_groups, 5 * size - 1, size, 5, 64,
                          std::string((*level)->isa) + " 5x3000 blocks");
  for (const auto& [n_groups, n_cols] : {std::pair<int, int>{0, 3}, {3, 0}, {1, 1}, {9, 40}, {33, 70}})
    for (double density : {0.0, 0.1, 1.0}) {
      const Matrix groups(n_groups, n_cols, density);
      for (auto level = dsae::levels(); *level; ++level)
        for (int lanes : {16, 32, 64})
          for (const auto& [size, narrower] : {std::pair<int, int>{4, 0}, {4, 3}, {8, 1}})
            test_block_ends(**level, groups, std::max(0, n_groups * size - narrower), size, lanes,
                            std::string((*level)->isa) + " " + std::to_string(n_groups) + "x" + std::to_string(n_cols) +
                                " blocks of " + std::to_string(size) + ", density " + std::to_string(density) +
                                ", lanes " + std::to_string(lanes));
    }
  for (int64_t size : {0, 1, 2, 100, 5000})
    for (int64_t n : {int64_t{0}, size / 3, size}) test_smallest(size, n);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
