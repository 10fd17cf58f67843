#include "level.hpp"

namespace dsae::DSAE_LEVEL {

extern const Kernels kernels;
const Kernels kernels = {
    DSAE_LEVEL_NAME, pack,     pack_csr, unpack,          sum_samples,      spmm,        sddmm, backward,   spmv,     gather,
    scatter,         adam,     scan,     compress,        columns,          columns_of_rows,
    columns_gradient, gather_live, outer, tiled_loss, n_losses, activations, n_activations, kWidth};

}  // namespace dsae::DSAE_LEVEL
