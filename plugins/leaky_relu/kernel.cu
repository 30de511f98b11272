#include "leaky_relu/plugin.h"

#include "common/elementwise.cuh"

namespace trtdsl::leaky_relu {

struct Function {
  float slope;

  __device__ float operator()(float x) const { return x > 0 ? x : x * slope; }
};

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return 0; }

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void*, cudaStream_t stream) {
  return launch_elementwise(inputs[0], outputs[0], Function{params.negSlope}, stream);
}

}  // namespace trtdsl::leaky_relu
