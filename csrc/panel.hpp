// A panel is `lanes` samples, feature-major: [width, lanes]. A batch is a stack of them.
#pragma once

#include <cstdint>

namespace dsae {

template <class T>
struct Panels {
  T* data;  // [count, width, lanes]
  int64_t count, width;
  int lanes;  // 16, 32 or 64
};

template <class T>
struct Rows {
  T* data;  // [count, width]
  int64_t count, width;
};

}  // namespace dsae
