// Plugins that tell what their creators were given. Compiles against the headers of TensorRT 8.6 and of 10.
//
// Echo (versions 1, of the V2 kind, and 2, of the V3 kind) declares a field of every type and keeps the bytes of all that
// it is given. Handwritten is what many creators are like: fields of INT8, read by their position, their number asserted.
// Silent declares nothing.
#include <NvInferPlugin.h>
#include <NvInferRuntime.h>

#include <cassert>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace nvinfer1;

std::string last;  // what the last creator was given: a line for each field
int32_t created = 0;

size_t sizeOf(PluginFieldType type) {
  switch (type) {
    case PluginFieldType::kFLOAT16:
    case PluginFieldType::kINT16: return 2;
    case PluginFieldType::kFLOAT64: return 8;
    case PluginFieldType::kINT8:
    case PluginFieldType::kCHAR: return 1;
    case PluginFieldType::kDIMS: return sizeof(Dims);
#if NV_TENSORRT_MAJOR >= 10
    case PluginFieldType::kINT64: return 8;
#endif
    default: return 4;
  }
}

// Name, type, length and the bytes in hexadecimal digits; of a text also the byte behind its end.
void keep(PluginFieldCollection const* fields) {
  last.clear();
  ++created;
  for (int32_t i = 0; i < fields->nbFields; ++i) {
    PluginField const& field = fields->fields[i];
    size_t bytes = sizeOf(field.type) * static_cast<size_t>(field.length) + (field.type == PluginFieldType::kCHAR);
    last += std::string(field.name) + " " + std::to_string(static_cast<int32_t>(field.type)) + " " +
            std::to_string(field.length) + " ";
    char digits[3];
    for (size_t byte = 0; byte < bytes; ++byte) {
      std::snprintf(digits, sizeof digits, "%02x", static_cast<uint8_t const*>(field.data)[byte]);
      last += digits;
    }
    last += "\n";
  }
}

std::vector<PluginField> everyType() {
  return {
      {"half", nullptr, PluginFieldType::kFLOAT16, 1},   {"single", nullptr, PluginFieldType::kFLOAT32, 1},
      {"double", nullptr, PluginFieldType::kFLOAT64, 1}, {"tiny", nullptr, PluginFieldType::kINT8, 1},
      {"small", nullptr, PluginFieldType::kINT16, 1},    {"whole", nullptr, PluginFieldType::kINT32, 1},
      {"four", nullptr, PluginFieldType::kINT32, 4},     {"text", nullptr, PluginFieldType::kCHAR, 1},
      {"dims", nullptr, PluginFieldType::kDIMS, 1},
#if NV_TENSORRT_MAJOR >= 10
      {"large", nullptr, PluginFieldType::kINT64, 1},
#endif
  };
}

// Hands its input on; never run.
class EchoV2 : public IPluginV2DynamicExt {
 public:
  explicit EchoV2(char const* name) : name_(name) {}
  IPluginV2DynamicExt* clone() const noexcept override { return new EchoV2(*this); }
  DimsExprs getOutputDimensions(int32_t, DimsExprs const* inputs, int32_t, IExprBuilder&) noexcept override {
    return inputs[0];
  }
  bool supportsFormatCombination(int32_t, PluginTensorDesc const*, int32_t, int32_t) noexcept override { return true; }
  void configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                       int32_t) noexcept override {}
  size_t getWorkspaceSize(PluginTensorDesc const*, int32_t, PluginTensorDesc const*, int32_t) const noexcept override {
    return 0;
  }
  int32_t enqueue(PluginTensorDesc const*, PluginTensorDesc const*, void const* const*, void* const*, void*,
                  cudaStream_t) noexcept override {
    return 0;
  }
  DataType getOutputDataType(int32_t, DataType const* types, int32_t) const noexcept override { return types[0]; }
  char const* getPluginType() const noexcept override { return name_; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  int32_t getNbOutputs() const noexcept override { return 1; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  size_t getSerializationSize() const noexcept override { return 0; }
  void serialize(void*) const noexcept override {}
  void destroy() noexcept override { delete this; }
  void setPluginNamespace(char const*) noexcept override {}
  char const* getPluginNamespace() const noexcept override { return ""; }

 private:
  char const* name_;
};

// What all creators of the V2 kind here have in common.
class CreatorV2 : public IPluginCreator {
 public:
  CreatorV2(char const* name, std::vector<PluginField> fields) : name_(name), fields_(std::move(fields)) {
    declared_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
  }
  char const* getPluginName() const noexcept override { return name_; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  PluginFieldCollection const* getFieldNames() noexcept override { return &declared_; }
  IPluginV2* createPlugin(char const*, PluginFieldCollection const* fields) noexcept override {
    keep(fields);
    return new EchoV2(name_);
  }
  IPluginV2* deserializePlugin(char const*, void const*, size_t) noexcept override { return new EchoV2(name_); }
  void setPluginNamespace(char const*) noexcept override {}
  char const* getPluginNamespace() const noexcept override { return ""; }

 protected:
  char const* name_;

 private:
  std::vector<PluginField> fields_;
  PluginFieldCollection declared_;
};

class Echo : public CreatorV2 {
 public:
  Echo() : CreatorV2("Echo", everyType()) {}
};

class Silent : public CreatorV2 {
 public:
  Silent() : CreatorV2("Silent", {}) {}
};

class Handwritten : public CreatorV2 {
 public:
  Handwritten()
      : CreatorV2("Handwritten", {{"mode", nullptr, PluginFieldType::kINT8, 1},
                                  {"align_corners", nullptr, PluginFieldType::kINT8, 1},
                                  {"scale", nullptr, PluginFieldType::kINT8, 1}}) {}
  IPluginV2* createPlugin(char const*, PluginFieldCollection const* fields) noexcept override {
    assert(fields->nbFields == 3);
    keep(fields);
    int8_t const mode = *static_cast<int8_t const*>(fields->fields[0].data);
    int8_t const alignCorners = *static_cast<int8_t const*>(fields->fields[1].data);
    int8_t const scale = *static_cast<int8_t const*>(fields->fields[2].data);
    return mode == -1 && alignCorners == 1 && scale == 2 ? new EchoV2(name_) : nullptr;
  }
};

REGISTER_TENSORRT_PLUGIN(Echo);
REGISTER_TENSORRT_PLUGIN(Silent);
REGISTER_TENSORRT_PLUGIN(Handwritten);

#if NV_TENSORRT_MAJOR >= 10

class EchoV3 : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
 public:
  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    switch (type) {
      case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
      case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
      default: return static_cast<IPluginV3OneCore*>(this);
    }
  }
  IPluginV3* clone() noexcept override { return new EchoV3(*this); }
  char const* getPluginName() const noexcept override { return "Echo"; }
  char const* getPluginVersion() const noexcept override { return "2"; }
  char const* getPluginNamespace() const noexcept override { return ""; }
  int32_t configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                          int32_t) noexcept override {
    return 0;
  }
  int32_t getOutputDataTypes(DataType* outputs, int32_t, DataType const* inputs, int32_t) const noexcept override {
    outputs[0] = inputs[0];
    return 0;
  }
  int32_t getOutputShapes(DimsExprs const* inputs, int32_t, DimsExprs const*, int32_t, DimsExprs* outputs, int32_t,
                          IExprBuilder&) noexcept override {
    outputs[0] = inputs[0];
    return 0;
  }
  bool supportsFormatCombination(int32_t, DynamicPluginTensorDesc const*, int32_t, int32_t) noexcept override {
    return true;
  }
  int32_t getNbOutputs() const noexcept override { return 1; }
  int32_t onShapeChange(PluginTensorDesc const*, int32_t, PluginTensorDesc const*, int32_t) noexcept override {
    return 0;
  }
  int32_t enqueue(PluginTensorDesc const*, PluginTensorDesc const*, void const* const*, void* const*, void*,
                  cudaStream_t) noexcept override {
    return 0;
  }
  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
  PluginFieldCollection const* getFieldsToSerialize() noexcept override { return &nothing_; }

 private:
  PluginFieldCollection nothing_{0, nullptr};
};

class EchoCreatorV3 : public IPluginCreatorV3One {
 public:
  EchoCreatorV3() : fields_(everyType()), declared_{static_cast<int32_t>(fields_.size()), fields_.data()} {}
  char const* getPluginName() const noexcept override { return "Echo"; }
  char const* getPluginVersion() const noexcept override { return "2"; }
  char const* getPluginNamespace() const noexcept override { return ""; }
  PluginFieldCollection const* getFieldNames() noexcept override { return &declared_; }
  IPluginV3* createPlugin(char const*, PluginFieldCollection const* fields, TensorRTPhase) noexcept override {
    keep(fields);
    return new EchoV3();
  }

 private:
  std::vector<PluginField> fields_;
  PluginFieldCollection declared_;
};

REGISTER_TENSORRT_PLUGIN(EchoCreatorV3);

#endif

}  // namespace

extern "C" __attribute__((visibility("default"))) char const* echoLast() { return last.c_str(); }
extern "C" __attribute__((visibility("default"))) int32_t echoCreated() { return created; }
