// Plugins of version "1": IPluginV2DynamicExt, which TensorRT 8.6 to 11 have.
#pragma once

#include "common/glue.h"

namespace trtdsl {

class CreatorV2 final : public nvinfer1::IPluginCreator {
 public:
  explicit CreatorV2(const PluginInfo& info) : info_(info), fields_(info), namespace_(info.space) {}

  const char* getPluginName() const noexcept override { return info_.name; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return namespace_.c_str(); }
  void setPluginNamespace(const char* space) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return fields_.get(); }
  nvinfer1::IPluginV2* createPlugin(const char* name, const nvinfer1::PluginFieldCollection* fields) noexcept override;
  nvinfer1::IPluginV2* deserializePlugin(const char* name, const void* data, size_t size) noexcept override;

 private:
  const PluginInfo& info_;
  FieldCollection fields_;
  std::string namespace_;
};

}  // namespace trtdsl
