#include "laws.hpp"

#include <cstdio>
#include <cstring>

namespace dsae_tests {

std::mt19937 engine(0);
int passed = 0, failed = 0;

void check(bool good, const std::string& what) {
  good ? ++passed : ++failed;
  if (!good) std::printf("FAILED %s\n", what.c_str());
}

Floats floats(int64_t size) {
  std::normal_distribution<float> normal;
  Floats v(size);
  for (float& x : v) x = normal(engine);
  return v;
}

bool close(const Floats& got, const std::vector<double>& expected) {
  for (size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - expected[i]) <= 2e-4 * (1 + std::abs(expected[i])))) return false;
  return got.size() == expected.size();
}

bool same(const Floats& a, const Floats& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(float)));
}

}  // namespace dsae_tests
