#include "level.hpp"

namespace dsae::DSAE_LEVEL {

extern const Kernels kernels;
const Kernels kernels = {.isa = DSAE_LEVEL_NAME,
                         .n_losses = n_losses,
                         .activations = activations,
                         .n_activations = n_activations,
                         .width = kWidth,
#define DSAE_ENTRY(Type, name) .name = name,
                         DSAE_KERNELS(DSAE_ENTRY)
#undef DSAE_ENTRY
};

}  // namespace dsae::DSAE_LEVEL
