// A plugin as people hand-write them for a network of theirs: its creator counts on five fields, in their order and of
// their types, and asserts it.
//
// y = clamp(trunc(x * 2^shift) + offsets[c % 4], low, high), and minus that where `mirror` is set; fp32, [N, C, ...].
//
//     nvcc -shared -Xcompiler -fPIC -isystem HEADERS step_clip.cu -L LIBRARIES -l:libnvinfer.so.8 -o libstepclip.so
#undef NDEBUG
#include <NvInferPlugin.h>
#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include <cassert>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace step_clip {

using namespace nvinfer1;

struct Parameters {
  int8_t shift, low, high, mirror;
  float offsets[4];
};

__global__ void stepClip(Parameters p, float const* x, float* y, int32_t channels, int32_t inner, int64_t count) {
  int64_t const i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= count) return;
  float const stepped = truncf(ldexpf(x[i], p.shift)) + p.offsets[i / inner % channels % 4];
  float const clipped = fminf(fmaxf(stepped, p.low), p.high);
  y[i] = p.mirror ? -clipped : clipped;
}

class StepClip : public IPluginV2DynamicExt {
 public:
  explicit StepClip(Parameters const& parameters) : parameters_(parameters) {}
  IPluginV2DynamicExt* clone() const noexcept override { return new StepClip(*this); }
  DimsExprs getOutputDimensions(int32_t, DimsExprs const* inputs, int32_t, IExprBuilder&) noexcept override {
    return inputs[0];
  }
  bool supportsFormatCombination(int32_t at, PluginTensorDesc const* tensors, int32_t, int32_t) noexcept override {
    return tensors[at].type == DataType::kFLOAT && tensors[at].format == TensorFormat::kLINEAR;
  }
  void configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                       int32_t) noexcept override {}
  size_t getWorkspaceSize(PluginTensorDesc const*, int32_t, PluginTensorDesc const*, int32_t) const noexcept override {
    return 0;
  }
  int32_t enqueue(PluginTensorDesc const* descs, PluginTensorDesc const*, void const* const* inputs,
                  void* const* outputs, void*, cudaStream_t stream) noexcept override {
    Dims const& dims = descs[0].dims;
    int32_t inner = 1;
    for (int32_t axis = 2; axis < dims.nbDims; ++axis) inner *= dims.d[axis];
    int64_t const count = static_cast<int64_t>(dims.d[0]) * dims.d[1] * inner;
    stepClip<<<(count + 255) / 256, 256, 0, stream>>>(parameters_, static_cast<float const*>(inputs[0]),
                                                      static_cast<float*>(outputs[0]), dims.d[1], inner, count);
    return cudaPeekAtLastError() == cudaSuccess ? 0 : -1;
  }
  DataType getOutputDataType(int32_t, DataType const* types, int32_t) const noexcept override { return types[0]; }
  char const* getPluginType() const noexcept override { return "StepClip"; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  int32_t getNbOutputs() const noexcept override { return 1; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  size_t getSerializationSize() const noexcept override { return sizeof(Parameters); }
  void serialize(void* buffer) const noexcept override { std::memcpy(buffer, &parameters_, sizeof(Parameters)); }
  void destroy() noexcept override { delete this; }
  void setPluginNamespace(char const* space) noexcept override { space_ = space; }
  char const* getPluginNamespace() const noexcept override { return space_.c_str(); }

 private:
  Parameters parameters_;
  std::string space_;
};

class StepClipCreator : public IPluginCreator {
 public:
  StepClipCreator()
      : fields_{{"shift", nullptr, PluginFieldType::kINT8, 1},
                {"low", nullptr, PluginFieldType::kINT8, 1},
                {"high", nullptr, PluginFieldType::kINT8, 1},
                {"mirror", nullptr, PluginFieldType::kINT8, 1},
                {"offsets", nullptr, PluginFieldType::kFLOAT32, 4}},
        declared_{static_cast<int32_t>(fields_.size()), fields_.data()} {}
  char const* getPluginName() const noexcept override { return "StepClip"; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  PluginFieldCollection const* getFieldNames() noexcept override { return &declared_; }

  IPluginV2* createPlugin(char const*, PluginFieldCollection const* given) noexcept override {
    assert(given->nbFields == 5);
    for (int32_t i = 0; i < 5; ++i) {
      assert(given->fields[i].type == fields_[i].type);
      assert(given->fields[i].length == fields_[i].length);
    }
    auto const number = [given](int32_t i) { return *static_cast<int8_t const*>(given->fields[i].data); };
    Parameters parameters{number(0), number(1), number(2), number(3), {}};
    std::memcpy(parameters.offsets, given->fields[4].data, sizeof parameters.offsets);
    return new StepClip(parameters);
  }

  IPluginV2* deserializePlugin(char const*, void const* data, size_t size) noexcept override {
    assert(size == sizeof(Parameters));
    Parameters parameters;
    std::memcpy(&parameters, data, size);
    return new StepClip(parameters);
  }
  void setPluginNamespace(char const* space) noexcept override { space_ = space; }
  char const* getPluginNamespace() const noexcept override { return space_.c_str(); }

 private:
  std::vector<PluginField> fields_;
  PluginFieldCollection declared_;
  std::string space_;
};

REGISTER_TENSORRT_PLUGIN(StepClipCreator);

}  // namespace step_clip
