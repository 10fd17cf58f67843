#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels.hpp"

namespace dsae {

namespace baseline { extern const Kernels kernels; }
#ifdef DSAE_x86_64_v3
namespace x86_64_v3 { extern const Kernels kernels; }
#endif
#ifdef DSAE_x86_64_v4
namespace x86_64_v4 { extern const Kernels kernels; }
#endif

const Kernels* const* levels() {
  static const std::array<const Kernels*, 4> found = [] {
    std::array<const Kernels*, 4> levels = {};
    auto next = levels.begin();
#if defined(DSAE_x86_64_v3) || defined(DSAE_x86_64_v4)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
#endif
#ifdef DSAE_x86_64_v4
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (v4) *next++ = &x86_64_v4::kernels;
#endif
#ifdef DSAE_x86_64_v3
    if (v3) *next++ = &x86_64_v3::kernels;
#endif
    *next = &baseline::kernels;
    return levels;
  }();
  return found.data();
}

const Kernels& choose(const char* name) {
  if (!name || !*name) return *levels()[0];
  std::string choices;
  for (auto level = levels(); *level; ++level) {
    if (!std::strcmp((*level)->isa, name)) return **level;
    choices += (choices.empty() ? "" : ", ") + std::string((*level)->isa);
  }
  throw std::invalid_argument("DSAE_ISA must be one of " + choices + " on this machine; got '" + name + "'.");
}

}  // namespace dsae
