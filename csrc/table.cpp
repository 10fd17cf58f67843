#include "level.hpp"

namespace dsae::DSAE_LEVEL {

extern const Kernels kernels;
const Kernels kernels = {DSAE_LEVEL_NAME, pack, pack_csr, unpack, spmm, sddmm, spmv, gather,
                         scan, compress, columns, activate, kWidth};

}  // namespace dsae::DSAE_LEVEL
