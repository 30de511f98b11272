#include "instance_norm_pad/plugin.h"

#include "common/norm_launch.cuh"

namespace trtdsl::instance_norm_pad {

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return kNormWorkspace; }

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void* workspace,
                   cudaStream_t stream) {
  const NormParameters norm{params.scale.data, params.bias.data, params.epsilon, params.activation, params.slope};
  const Borders padding{params.paddings[0], params.paddings[1], params.paddings[2], params.paddings[3]};
  const Borders around_residual{params.residualPaddings[0], params.residualPaddings[1], params.residualPaddings[2],
                                params.residualPaddings[3]};
  return launch_norm_pad(norm, padding, static_cast<PadMode>(params.mode), around_residual, inputs[0], inputs[1],
                         outputs[0], workspace, stream);
}

}  // namespace trtdsl::instance_norm_pad
