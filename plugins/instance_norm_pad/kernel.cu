#include "instance_norm_pad/plugin.h"

#include "common/norm_launch.cuh"

namespace trtdsl::instance_norm_pad {

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return kNormWorkspace; }

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void* workspace,
                   cudaStream_t stream) {
  const Tensor &x = inputs[0], &residual = inputs[1], &y = outputs[0];
  if (x.volume() == 0) return cudaSuccess;  // before a frame is divided by its sizes
  const auto borders_of = [](const int32_t(&sides)[4]) { return Borders{sides[0], sides[1], sides[2], sides[3]}; };
  const Frame frame(static_cast<int>(x.dims[2]), static_cast<int>(x.dims[3]), borders_of(params.paddings),
                    static_cast<PadMode>(params.mode),
                    residual.data ? borders_of(params.residualPaddings) : Borders{0, 0, 0, 0});
  const NormParameters norm{params.scale.data, params.bias.data, params.epsilon, params.activation, params.slope};
  return launch_norm<true>(norm, frame, x, residual.data, y, workspace, stream);
}

}  // namespace trtdsl::instance_norm_pad
