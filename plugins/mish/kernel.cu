#include "mish/plugin.h"

#include "common/elementwise.cuh"

namespace trtdsl::mish {

// With e = exp(x): tanh(log(1 + e)) = n / (n + 2), n = e * (e + 2), where nothing cancels. Beyond x = 20 the ratio is 1
// in fp32, so a larger e, which would overflow, is never needed.
struct Function {
  __device__ float operator()(float x) const {
    const float e = __expf(fminf(x, 20.0f));
    const float n = e * (e + 2.0f);
    return x * __fdividef(n, n + 2.0f);
  }
};

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return 0; }

cudaError_t launch(const Params&, const Tensor* inputs, const Tensor* outputs, void*, cudaStream_t stream) {
  return launch_elementwise(inputs[0], outputs[0], Function{}, stream);
}

}  // namespace trtdsl::mish
