// Plugins of version "2": IPluginV3, which TensorRT 10 and later have.
#pragma once

#include "common/glue.h"

namespace trtdsl {

class CreatorV3 final : public nvinfer1::IPluginCreatorV3One {
 public:
  explicit CreatorV3(const PluginInfo& info) : info_(info), fields_(info) {}

  const char* getPluginName() const noexcept override { return info_.name; }
  const char* getPluginVersion() const noexcept override { return "2"; }
  const char* getPluginNamespace() const noexcept override { return info_.space; }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return fields_.get(); }
  nvinfer1::IPluginV3* createPlugin(const char* name, const nvinfer1::PluginFieldCollection* fields,
                                    nvinfer1::TensorRTPhase phase) noexcept override;

 private:
  const PluginInfo& info_;
  FieldCollection fields_;
};

}  // namespace trtdsl
