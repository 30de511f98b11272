// Calls a library's plugins as TensorRT does, where there is none: the library's own list of creators is all it takes.
//
// Compiles against the headers of TensorRT 8.6 and later. Functions are C's, for plugin_calls.py; what a plugin refuses
// is null or a negative number, and calls_said() has its words.
#include <NvInfer.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using namespace nvinfer1;

struct FieldGiven {
  const char* name;
  int32_t type;  // of PluginFieldType
  const void* data;
  int32_t length;
};

// As trtdsl::Tensor.
struct TensorGiven {
  void* data;
  int32_t dtype;  // 0: fp32, 1: fp16
  int32_t layout;  // 0: linear, 1: HWC8
  int32_t rank;
  int64_t dims[8];
};

std::string said;

class Log final : public ILogger {
  void log(Severity, const char* message) noexcept override { said += std::string(message) + "\n"; }
} logger;

class Finder final : public ILoggerFinder {
 public:
  ILogger* findLogger() override { return &logger; }
} finder;

PluginTensorDesc described(const TensorGiven& tensor) {
  PluginTensorDesc desc{};
  desc.dims.nbDims = tensor.rank;
  std::copy_n(tensor.dims, tensor.rank, desc.dims.d);
  desc.type = tensor.dtype == 0 ? DataType::kFLOAT : DataType::kHALF;
  desc.format = tensor.layout == 0 ? TensorFormat::kLINEAR : TensorFormat::kHWC8;
  return desc;
}

// All tensors of a call: inputs, then outputs.
struct Tensors {
  Tensors(const TensorGiven* in, int32_t in_count, const TensorGiven* out, int32_t out_count)
      : inputs(in_count), outputs(out_count) {
    for (int32_t index = 0; index < in_count + out_count; ++index) {
      const TensorGiven& tensor = index < in_count ? in[index] : out[index - in_count];
      descs.push_back(described(tensor));
      data.push_back(tensor.data);
      DynamicPluginTensorDesc range{};
      range.desc = descs.back();
      range.min = range.max = range.desc.dims;
#if NV_TENSORRT_MAJOR >= 10
      range.opt = range.desc.dims;
#endif
      ranges.push_back(range);
    }
  }
  int32_t count() const { return inputs + outputs; }

  int32_t inputs, outputs;
  std::vector<PluginTensorDesc> descs;
  std::vector<DynamicPluginTensorDesc> ranges;
  std::vector<void*> data;
};

constexpr int64_t kUnsupported = -1, kRefused = -2;

class Plugin {
 public:
  virtual ~Plugin() = default;
  // The size of the workspace, once the plugin knows of types, layouts and sizes; kUnsupported or kRefused.
  virtual int64_t configure(const Tensors& tensors) = 0;
  // As an engine that is read back has it.
  virtual Plugin* restored() = 0;
  // As a context has it.
  virtual Plugin* attached() = 0;
  virtual int32_t prepare(const Tensors& tensors) = 0;
  virtual int32_t enqueue(const Tensors& tensors, void* workspace, cudaStream_t stream) = 0;
};

class OfV2 final : public Plugin {
 public:
  OfV2(IPluginCreator* creator, IPluginV2* plugin)
      : creator_(creator), plugin_(static_cast<IPluginV2DynamicExt*>(plugin)) {}
  ~OfV2() override {
    plugin_->terminate();
    plugin_->destroy();
  }

  int64_t configure(const Tensors& tensors) override {
    if (plugin_->getNbOutputs() != tensors.outputs) return kUnsupported;
    for (int32_t at = 0; at < tensors.count(); ++at) {
      if (!plugin_->supportsFormatCombination(at, tensors.descs.data(), tensors.inputs, tensors.outputs)) {
        return kUnsupported;
      }
    }
    const auto types = types_of(tensors);
    for (int32_t output = 0; output < tensors.outputs; ++output) {
      const DataType type = plugin_->getOutputDataType(output, types.data(), tensors.inputs);
      if (type != types[tensors.inputs + output]) return kUnsupported;
    }
    const auto* in = tensors.ranges.data();
    plugin_->configurePlugin(in, tensors.inputs, in + tensors.inputs, tensors.outputs);
    if (plugin_->initialize() != 0) return kRefused;
    const auto* descs = tensors.descs.data();
    return plugin_->getWorkspaceSize(descs, tensors.inputs, descs + tensors.inputs, tensors.outputs);
  }

  Plugin* restored() override {
    std::string bytes(plugin_->getSerializationSize(), '\0');
    plugin_->serialize(bytes.data());
    IPluginV2* again = creator_->deserializePlugin("restored", bytes.data(), bytes.size());
    if (again == nullptr || again->initialize() != 0) return nullptr;
    return new OfV2(creator_, again);
  }

  Plugin* attached() override {
    IPluginV2DynamicExt* copy = plugin_->clone();
    if (copy == nullptr) return nullptr;
    copy->attachToContext(nullptr, nullptr, nullptr);
    return new OfV2(creator_, copy);
  }

  int32_t prepare(const Tensors&) override { return 0; }

  int32_t enqueue(const Tensors& tensors, void* workspace, cudaStream_t stream) override {
    const auto* descs = tensors.descs.data();
    return plugin_->enqueue(descs, descs + tensors.inputs, tensors.data.data(), tensors.data.data() + tensors.inputs,
                            workspace, stream);
  }

  static std::vector<DataType> types_of(const Tensors& tensors) {
    std::vector<DataType> types;
    for (const auto& desc : tensors.descs) types.push_back(desc.type);
    return types;
  }

 private:
  IPluginCreator* creator_;
  IPluginV2DynamicExt* plugin_;
};

#if NV_TENSORRT_MAJOR >= 10
class OfV3 final : public Plugin {
 public:
  OfV3(IPluginCreatorV3One* creator, IPluginV3* plugin) : creator_(creator), plugin_(plugin) {}

  int64_t configure(const Tensors& tensors) override {
    auto* build = static_cast<IPluginV3OneBuild*>(plugin_->getCapabilityInterface(PluginCapabilityType::kBUILD));
    const auto* in = tensors.ranges.data();
    const auto* out = in + tensors.inputs;
    if (build->getNbOutputs() != tensors.outputs) return kUnsupported;
    for (int32_t at = 0; at < tensors.count(); ++at) {
      if (!build->supportsFormatCombination(at, in, tensors.inputs, tensors.outputs)) return kUnsupported;
    }
    const auto types = OfV2::types_of(tensors);
    std::vector<DataType> found(tensors.outputs);
    if (build->getOutputDataTypes(found.data(), tensors.outputs, types.data(), tensors.inputs) != 0 ||
        !std::equal(found.begin(), found.end(), types.begin() + tensors.inputs)) {
      return kUnsupported;
    }
    if (build->configurePlugin(in, tensors.inputs, out, tensors.outputs) != 0) return kRefused;
    return build->getWorkspaceSize(in, tensors.inputs, out, tensors.outputs);
  }

  Plugin* restored() override {
    const PluginFieldCollection* kept = runtime()->getFieldsToSerialize();
    IPluginV3* again = kept == nullptr ? nullptr : creator_->createPlugin("restored", kept, TensorRTPhase::kRUNTIME);
    return again == nullptr ? nullptr : new OfV3(creator_, again);
  }

  Plugin* attached() override {
    IPluginV3* copy = runtime()->attachToContext(nullptr);
    return copy == nullptr ? nullptr : new OfV3(creator_, copy);
  }

  int32_t prepare(const Tensors& tensors) override {
    const auto* descs = tensors.descs.data();
    return runtime()->onShapeChange(descs, tensors.inputs, descs + tensors.inputs, tensors.outputs);
  }

  int32_t enqueue(const Tensors& tensors, void* workspace, cudaStream_t stream) override {
    const auto* descs = tensors.descs.data();
    return runtime()->enqueue(descs, descs + tensors.inputs, tensors.data.data(), tensors.data.data() + tensors.inputs,
                              workspace, stream);
  }

 private:
  IPluginV3OneRuntime* runtime() {
    return static_cast<IPluginV3OneRuntime*>(plugin_->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  }

  IPluginCreatorV3One* creator_;
  std::unique_ptr<IPluginV3> plugin_;
};
#endif

Plugin* wrapped(IPluginCreator* creator, const PluginFieldCollection& fields) {
  IPluginV2* plugin = creator->createPlugin("called", &fields);
  return plugin == nullptr ? nullptr : new OfV2(creator, plugin);
}

Plugin* made(void* library, const char* name, const char* version, const PluginFieldCollection& fields) {
  const auto is_wanted = [&](const auto& creator) {
    return std::strcmp(creator.getPluginName(), name) == 0 && std::strcmp(creator.getPluginVersion(), version) == 0;
  };
  int32_t count = 0;
#if NV_TENSORRT_MAJOR >= 10
  using List = IPluginCreatorInterface* const* (*)(int32_t&);
  auto* const* creators = reinterpret_cast<List>(dlsym(library, "getCreators"))(count);
  for (int32_t index = 0; index < count; ++index) {
    if (std::strcmp(creators[index]->getInterfaceInfo().kind, "PLUGIN CREATOR_V1") == 0) {
      auto* creator = static_cast<IPluginCreator*>(creators[index]);
      if (is_wanted(*creator)) return wrapped(creator, fields);
    } else {
      auto* creator = static_cast<IPluginCreatorV3One*>(creators[index]);
      if (!is_wanted(*creator)) continue;
      IPluginV3* plugin = creator->createPlugin("called", &fields, TensorRTPhase::kBUILD);
      return plugin == nullptr ? nullptr : new OfV3(creator, plugin);
    }
  }
#else
  using List = IPluginCreator* const* (*)(int32_t&);
  auto* const* creators = reinterpret_cast<List>(dlsym(library, "getPluginCreators"))(count);
  for (int32_t index = 0; index < count; ++index) {
    if (is_wanted(*creators[index])) return wrapped(creators[index], fields);
  }
#endif
  said += std::string("there is no creator of ") + name + " " + version;
  return nullptr;
}

}  // namespace

// What was logged since it was last asked for.
EXPORT const char* calls_said() {
  static std::string taken;
  taken = std::move(said);
  said.clear();
  return taken.c_str();
}

EXPORT Plugin* calls_make(void* library, const char* name, const char* version, const FieldGiven* given, int32_t count) {
  reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library, "setLoggerFinder"))(&finder);
  std::vector<PluginField> fields;
  for (int32_t index = 0; index < count; ++index) {
    const FieldGiven& field = given[index];
    fields.emplace_back(field.name, field.data, static_cast<PluginFieldType>(field.type), field.length);
  }
  PluginFieldCollection collection{};
  collection.nbFields = count;
  collection.fields = fields.data();
  return made(library, name, version, collection);
}

EXPORT int64_t calls_configure(Plugin* plugin, const TensorGiven* in, int32_t in_count, const TensorGiven* out,
                               int32_t out_count) {
  return plugin->configure({in, in_count, out, out_count});
}

EXPORT Plugin* calls_restored(Plugin* plugin) { return plugin->restored(); }

EXPORT Plugin* calls_attached(Plugin* plugin) { return plugin->attached(); }

EXPORT int32_t calls_prepare(Plugin* plugin, const TensorGiven* in, int32_t in_count, const TensorGiven* out,
                             int32_t out_count) {
  return plugin->prepare({in, in_count, out, out_count});
}

EXPORT int32_t calls_enqueue(Plugin* plugin, const TensorGiven* in, int32_t in_count, const TensorGiven* out,
                             int32_t out_count, void* workspace, cudaStream_t stream) {
  return plugin->enqueue({in, in_count, out, out_count}, workspace, stream);
}

EXPORT void calls_drop(Plugin* plugin) { delete plugin; }
