#include "common/glue_v2.h"

#include <algorithm>

namespace trtdsl {
namespace {

class PluginV2 final : public nvinfer1::IPluginV2DynamicExt {
 public:
  PluginV2(std::shared_ptr<Settings> settings, std::string space, int32_t input_count)
      : settings_(std::move(settings)),
        namespace_(std::move(space)),
        params_(settings_->params()),
        input_count_(input_count) {}

  const char* getPluginType() const noexcept override { return info().name; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  int32_t getNbOutputs() const noexcept override { return info().output_count; }
  void destroy() noexcept override { delete this; }
  void terminate() noexcept override {}  // what is on the device is shared by clones, and goes with the last of them
  const char* getPluginNamespace() const noexcept override { return namespace_.c_str(); }

  void setPluginNamespace(const char* space) noexcept override {
    guarded(info().name, 0, [&] { return namespace_ = space == nullptr ? "" : space, 0; });
  }

  int32_t initialize() noexcept override {
    return guarded(info().name, -1, [&] {
      if (!settings_->upload()) return -1;
      params_ = settings_->params();
      return 0;
    });
  }

  // A context's clone is not initialised again: it shares what is on the device.
  IPluginV2DynamicExt* clone() const noexcept override {
    return guarded<IPluginV2DynamicExt*>(info().name, nullptr, [&]() -> IPluginV2DynamicExt* {
      return new PluginV2(settings_, namespace_, input_count_);
    });
  }

  size_t getSerializationSize() const noexcept override {
    return guarded<size_t>(info().name, 0, [&] { return stored().size(); });
  }

  void serialize(void* buffer) const noexcept override {
    guarded(info().name, 0, [&] {
      const std::vector<uint8_t> bytes = stored();
      std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(buffer));
      return 0;
    });
  }

  nvinfer1::DataType getOutputDataType(int32_t output, const nvinfer1::DataType* inputs,
                                       int32_t) const noexcept override {
    return output_type(info(), output, inputs);
  }

  nvinfer1::DimsExprs getOutputDimensions(int32_t output, const nvinfer1::DimsExprs* inputs, int32_t input_count,
                                          nvinfer1::IExprBuilder& builder) noexcept override {
    nvinfer1::DimsExprs wrong{};
    wrong.nbDims = -1;
    return guarded(info().name, wrong, [&] {
      nvinfer1::DimsExprs result{};
      return output_dims(*settings_, output, inputs, input_count, builder, result) ? result : wrong;
    });
  }

  bool supportsFormatCombination(int32_t position, const nvinfer1::PluginTensorDesc* tensors, int32_t inputs,
                                 int32_t outputs) noexcept override {
    return supports(info(), position, inputs, outputs,
                    [tensors](int32_t index) -> const nvinfer1::PluginTensorDesc& { return tensors[index]; });
  }

  // Cannot refuse, so enqueue checks again. Sizes that are not known yet are -1.
  void configurePlugin(const nvinfer1::DynamicPluginTensorDesc* in, int32_t input_count,
                       const nvinfer1::DynamicPluginTensorDesc*, int32_t output_count) noexcept override {
    if (!takes(info(), input_count, output_count)) return;
    input_count_ = input_count;
    guarded(info().name, false, [&] {
      bool is_known = true;
      for (int32_t index = 0; index < input_count; ++index) {
        const nvinfer1::Dims& dims = in[index].desc.dims;
        is_known = is_known && std::all_of(dims.d, dims.d + dims.nbDims, [](int64_t size) { return size >= 0; });
      }
      const auto desc_at = [in](int32_t index) { return in[index].desc; };
      return !is_known || check(*settings_, tensors_of(input_count, info().input_count, desc_at));
    });
  }

  size_t getWorkspaceSize(const nvinfer1::PluginTensorDesc* inputs, int32_t input_count,
                          const nvinfer1::PluginTensorDesc* outputs, int32_t output_count) const noexcept override {
    return guarded<size_t>(info().name, 0, [&] {
      const auto in = tensors_of(input_count, info().input_count, [inputs](int32_t i) { return inputs[i]; });
      const auto out = tensors_of(output_count, info().output_count, [outputs](int32_t i) { return outputs[i]; });
      return info().workspace_size(params_.data(), in.data(), out.data());
    });
  }

  // A clone may be made before what it was made of is initialised.
  void attachToContext(cudnnContext*, cublasContext*, nvinfer1::IGpuAllocator*) noexcept override { initialize(); }

  int32_t enqueue(const nvinfer1::PluginTensorDesc* input_desc, const nvinfer1::PluginTensorDesc* output_desc,
                  void const* const* inputs, void* const* outputs, void* workspace,
                  cudaStream_t stream) noexcept override {
    return guarded(info().name, -1, [&] {
      return run(info(), params_, input_desc, output_desc, inputs, outputs, input_count_, workspace, stream);
    });
  }

 private:
  const PluginInfo& info() const { return settings_->info(); }

  // An engine that is read back is not configured again, so the number of inputs is kept too.
  std::vector<uint8_t> stored() const { return trtdsl::serialize(info(), settings_->values(), input_count_); }

  std::shared_ptr<Settings> settings_;
  std::string namespace_;
  std::vector<uint8_t> params_;
  int32_t input_count_;
};

}  // namespace

void CreatorV2::setPluginNamespace(const char* space) noexcept {
  guarded(info_.name, 0, [&] { return namespace_ = space == nullptr ? "" : space, 0; });
}

nvinfer1::IPluginV2* CreatorV2::createPlugin(const char*, const nvinfer1::PluginFieldCollection* fields) noexcept {
  return guarded<nvinfer1::IPluginV2*>(info_.name, nullptr, [&]() -> nvinfer1::IPluginV2* {
    auto settings = settings_from(info_, fields);
    return settings == nullptr ? nullptr : new PluginV2(std::move(settings), namespace_, 0);
  });
}

nvinfer1::IPluginV2* CreatorV2::deserializePlugin(const char*, const void* data, size_t size) noexcept {
  return guarded<nvinfer1::IPluginV2*>(info_.name, nullptr, [&]() -> nvinfer1::IPluginV2* {
    int32_t input_count = 0;
    auto settings = settings_from(info_, data, size, input_count);
    return settings == nullptr ? nullptr : new PluginV2(std::move(settings), namespace_, input_count);
  });
}

}  // namespace trtdsl
