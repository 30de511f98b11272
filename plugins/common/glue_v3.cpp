#include "common/glue_v3.h"

#include <algorithm>

namespace trtdsl {
namespace {

using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

// The one field that engines keep of a plugin.
constexpr const char* kStored = "trtdsl";

class PluginV3 final : public nvinfer1::IPluginV3,
                       public nvinfer1::IPluginV3OneCore,
                       public nvinfer1::IPluginV3OneBuild,
                       public nvinfer1::IPluginV3OneRuntime {
 public:
  PluginV3(std::shared_ptr<Settings> settings, int32_t input_count)
      : settings_(std::move(settings)), params_(settings_->params()), input_count_(input_count) {}

  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override {
    switch (type) {
      case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
      case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
      case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
    }
    return nullptr;
  }

  nvinfer1::IPluginV3* clone() noexcept override {
    return guarded<nvinfer1::IPluginV3*>(
        info().name, nullptr, [&]() -> nvinfer1::IPluginV3* { return new PluginV3(settings_, input_count_); });
  }

  const char* getPluginName() const noexcept override { return info().name; }
  const char* getPluginVersion() const noexcept override { return "2"; }
  const char* getPluginNamespace() const noexcept override { return info().space; }

  int32_t getNbOutputs() const noexcept override { return info().output_count; }

  // What TensorRT will time has to be right. The ends of the range are bounds, which need not come up: a warning.
  int32_t configurePlugin(const DynamicPluginTensorDesc* in, int32_t input_count, const DynamicPluginTensorDesc*,
                          int32_t output_count) noexcept override {
    if (!takes(info(), input_count, output_count)) return -1;
    input_count_ = input_count;
    return guarded(info().name, -1, [&] {
      const auto is_right = [&](nvinfer1::Dims DynamicPluginTensorDesc::*dims, Severity severity) {
        const auto desc_at = [&](int32_t index) {
          PluginTensorDesc tensor = in[index].desc;
          tensor.dims = in[index].*dims;
          return tensor;
        };
        return check(*settings_, tensors_of(input_count, info().input_count, desc_at), severity);
      };
      if (!is_right(&DynamicPluginTensorDesc::opt, Severity::kERROR)) return -1;
      if (is_right(&DynamicPluginTensorDesc::min, Severity::kWARNING)) {
        is_right(&DynamicPluginTensorDesc::max, Severity::kWARNING);
      }
      return 0;
    });
  }

  int32_t getOutputDataTypes(nvinfer1::DataType* outputs, int32_t output_count, const nvinfer1::DataType* inputs,
                             int32_t input_count) const noexcept override {
    if (!takes(info(), input_count, output_count)) return -1;
    for (int32_t index = 0; index < output_count; ++index) outputs[index] = output_type(info(), index, inputs);
    return 0;
  }

  int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count, const nvinfer1::DimsExprs*, int32_t,
                          nvinfer1::DimsExprs* outputs, int32_t output_count,
                          nvinfer1::IExprBuilder& builder) noexcept override {
    return guarded(info().name, -1, [&] {
      for (int32_t index = 0; index < output_count; ++index) {
        if (!output_dims(*settings_, index, inputs, input_count, builder, outputs[index])) return -1;
      }
      return 0;
    });
  }

  bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors, int32_t inputs,
                                 int32_t outputs) noexcept override {
    return supports(info(), position, inputs, outputs,
                    [tensors](int32_t index) -> const PluginTensorDesc& { return tensors[index].desc; });
  }

  size_t getWorkspaceSize(const DynamicPluginTensorDesc* inputs, int32_t input_count,
                          const DynamicPluginTensorDesc* outputs, int32_t output_count) const noexcept override {
    return guarded<size_t>(info().name, 0, [&] {
      const auto largest = [](const DynamicPluginTensorDesc& tensor) {
        PluginTensorDesc desc = tensor.desc;
        desc.dims = tensor.max;
        return desc;
      };
      const auto in = tensors_of(input_count, info().input_count, [&](int32_t i) { return largest(inputs[i]); });
      const auto out = tensors_of(output_count, info().output_count, [&](int32_t i) { return largest(outputs[i]); });
      return info().workspace_size(params_.data(), in.data(), out.data());
    });
  }

  int32_t onShapeChange(const PluginTensorDesc* in, int32_t input_count, const PluginTensorDesc*,
                        int32_t output_count) noexcept override {
    if (!takes(info(), input_count, output_count)) return -1;
    input_count_ = input_count;
    return guarded(info().name, -1, [&] {
      if (!prepare()) return -1;
      const auto desc_at = [in](int32_t index) { return in[index]; };
      return check(*settings_, tensors_of(input_count, info().input_count, desc_at)) ? 0 : -1;
    });
  }

  int32_t enqueue(const PluginTensorDesc* input_desc, const PluginTensorDesc* output_desc, void const* const* inputs,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
    return guarded(info().name, -1, [&] {
      return run(info(), params_, input_desc, output_desc, inputs, outputs, input_count_, workspace, stream);
    });
  }

  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override {
    return guarded<nvinfer1::IPluginV3*>(info().name, nullptr, [&]() -> nvinfer1::IPluginV3* {
      auto copy = std::make_unique<PluginV3>(settings_, input_count_);
      return copy->prepare() ? copy.release() : nullptr;
    });
  }

  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override {
    return guarded<const nvinfer1::PluginFieldCollection*>(info().name, nullptr, [&] {
      stored_ = serialize(info(), settings_->values(), input_count_);
      const auto length = static_cast<int32_t>(stored_.size());
      field_ = nvinfer1::PluginField(kStored, stored_.data(), nvinfer1::PluginFieldType::kINT8, length);
      collection_ = {1, &field_};
      return &collection_;
    });
  }

 private:
  const PluginInfo& info() const { return settings_->info(); }

  bool prepare() {
    if (!settings_->upload()) return false;
    params_ = settings_->params();
    return true;
  }

  std::shared_ptr<Settings> settings_;
  std::vector<uint8_t> params_;
  int32_t input_count_;
  // What getFieldsToSerialize gives, which has to stay.
  std::vector<uint8_t> stored_;
  nvinfer1::PluginField field_;
  nvinfer1::PluginFieldCollection collection_{};
};

// What an engine keeps, in the fields that a creator is given; null where they are a user's.
const nvinfer1::PluginField* find_stored(const nvinfer1::PluginFieldCollection* fields) {
  if (fields == nullptr || fields->nbFields != 1) return nullptr;
  const nvinfer1::PluginField& field = fields->fields[0];
  return field.name != nullptr && std::string(field.name) == kStored ? &field : nullptr;
}

}  // namespace

nvinfer1::IPluginV3* CreatorV3::createPlugin(const char*, const nvinfer1::PluginFieldCollection* fields,
                                             nvinfer1::TensorRTPhase) noexcept {
  return guarded<nvinfer1::IPluginV3*>(info_.name, nullptr, [&]() -> nvinfer1::IPluginV3* {
    int32_t input_count = 0;
    const nvinfer1::PluginField* stored = find_stored(fields);
    auto settings = stored == nullptr ? settings_from(info_, fields)
                                      : settings_from(info_, stored->data, std::max(0, stored->length), input_count);
    return settings == nullptr ? nullptr : new PluginV3(std::move(settings), input_count);
  });
}

}  // namespace trtdsl
