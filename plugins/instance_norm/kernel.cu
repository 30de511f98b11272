#include "instance_norm/plugin.h"

#include "common/norm_launch.cuh"

namespace trtdsl::instance_norm {

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return kNormWorkspace; }

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void* workspace,
                   cudaStream_t stream) {
  const NormParameters norm{params.scale.data, params.bias.data, params.epsilon, params.activation, params.slope};
  return launch_norm<false>(norm, Frame{}, inputs[0], nullptr, outputs[0], workspace, stream);
}

}  // namespace trtdsl::instance_norm
