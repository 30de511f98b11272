#include "instance_norm/plugin.h"

#include "common/norm_launch.cuh"

namespace trtdsl::instance_norm {

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return kNormWorkspace; }

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void* workspace,
                   cudaStream_t stream) {
  const NormParameters norm{params.scale.data, params.bias.data, params.epsilon, params.activation, params.slope};
  return launch_norm(norm, inputs[0], outputs[0], workspace, stream);
}

}  // namespace trtdsl::instance_norm
