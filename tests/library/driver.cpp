// Does to a library's plugins what TensorRT does, as far as that goes without a GPU, and says what came of it:
//
//     driver LIBNVINFER LIBRARY
//
// Lines are `what|result|what was logged meanwhile`, for V2 plugins and, where TensorRT has them, for V3 plugins.
#include <NvInfer.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

using namespace nvinfer1;

using Extent = std::remove_reference_t<decltype(Dims{}.d[0])>;
using Shape = std::vector<Extent>;

std::string logged;

class Log final : public ILogger {
  void log(Severity severity, const char* message) noexcept override {
    logged += (severity == Severity::kWARNING ? "warning: " : "") + std::string(message) + ";";
  }
} logger;

class Finder final : public ILoggerFinder {
 public:
  ILogger* findLogger() override { return &logger; }
} finder;

void say(const std::string& what, const std::string& result) {
  std::printf("%s|%s|%s\n", what.c_str(), result.c_str(), logged.c_str());
  logged.clear();
}

class Number final : public IDimensionExpr, public apiv::VDimensionExpr {
 public:
  explicit Number(Extent value) : value(value) { mImpl = this; }
  bool isConstant() const override { return true; }
  Extent getConstantValue() const override { return value; }
#if NV_TENSORRT_MAJOR >= 10
  bool isSizeTensor() const override { return false; }
#endif
  const Extent value;
};

// Computes at once what TensorRT would keep as expressions.
class Builder final : public IExprBuilder, public apiv::VExprBuilder {
 public:
  Builder() { mImpl = this; }

  const IDimensionExpr* constant(Extent value) override { return &numbers_.emplace_back(value); }

  const IDimensionExpr* operation(DimensionOperation op, const IDimensionExpr& first,
                                  const IDimensionExpr& second) override {
    const Extent a = static_cast<const Number&>(first).value, b = static_cast<const Number&>(second).value;
    switch (op) {
      case DimensionOperation::kSUM: return constant(a + b);
      case DimensionOperation::kSUB: return constant(a - b);
      case DimensionOperation::kPROD: return constant(a * b);
      case DimensionOperation::kFLOOR_DIV: return b == 0 ? nullptr : constant(a / b);
      default: return nullptr;
    }
  }

#if NV_TENSORRT_MAJOR >= 10
  const IDimensionExpr* declareSizeTensor(int32_t, const IDimensionExpr&, const IDimensionExpr&) override {
    return nullptr;
  }
#endif

  std::vector<DimsExprs> shapes(const std::vector<Shape>& shapes) {
    std::vector<DimsExprs> made(shapes.size());
    for (size_t index = 0; index < shapes.size(); ++index) {
      made[index].nbDims = static_cast<int32_t>(shapes[index].size());
      for (size_t axis = 0; axis < shapes[index].size(); ++axis) made[index].d[axis] = constant(shapes[index][axis]);
    }
    return made;
  }

 private:
  std::deque<Number> numbers_;
};

std::string text(const DimsExprs& shape) {
  std::string result = "[";
  for (int32_t axis = 0; axis < shape.nbDims; ++axis) {
    result += (axis == 0 ? "" : ", ") + std::to_string(static_cast<const Number*>(shape.d[axis])->value);
  }
  return shape.nbDims < 0 ? "refused" : result + "]";
}

PluginTensorDesc desc_of(const Shape& shape, DataType type = DataType::kFLOAT,
                         TensorFormat format = TensorFormat::kLINEAR) {
  PluginTensorDesc desc{};
  desc.dims.nbDims = static_cast<int32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), desc.dims.d);
  desc.type = type;
  desc.format = format;
  return desc;
}

DynamicPluginTensorDesc dynamic(const Shape& smallest, const Shape& usual, const Shape& largest) {
  DynamicPluginTensorDesc desc{};
  desc.desc = desc_of(usual);
  desc.min = desc_of(smallest).dims;
  desc.max = desc_of(largest).dims;
#if NV_TENSORRT_MAJOR >= 10
  desc.opt = desc_of(usual).dims;
#endif
  return desc;
}

class Fields {
 public:
  Fields(std::initializer_list<PluginField> fields) : fields_(fields) {
    collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
  }
  const PluginFieldCollection* get() const { return &collection_; }

 private:
  std::vector<PluginField> fields_;
  PluginFieldCollection collection_;
};

const int32_t kPaddings[] = {1, 2, 3, 4};
const float kScale[] = {1, 2, 3};
const float kFactor = 1.5f;
const Fields kPad{{"paddings", kPaddings, PluginFieldType::kINT32, 4}};
const Fields kNone{};
const Fields kScaled{{"scale", kScale, PluginFieldType::kFLOAT32, 3}};
const Fields kUpsample{{"scaleFactor", &kFactor, PluginFieldType::kFLOAT32, 1}};
const Shape kImage{2, 3, 10, 20};

IPluginRegistry* registry;

struct V2 {
  using Plugin = IPluginV2DynamicExt;
  static constexpr const char* kVersion = "1";

  static IPluginCreator* creator(const char* name) { return registry->getPluginCreator(name, kVersion, "trtdsl"); }
  static Plugin* make(const char* name, const Fields& fields) {
    return static_cast<Plugin*>(creator(name)->createPlugin("made", fields.get()));
  }
  static void drop(Plugin* plugin) { plugin->destroy(); }

  static std::string dims(Plugin* plugin, const std::vector<Shape>& shapes) {
    Builder builder;
    const auto inputs = builder.shapes(shapes);
    return text(plugin->getOutputDimensions(0, inputs.data(), static_cast<int32_t>(inputs.size()), builder));
  }

  static std::string stored(Plugin* plugin) {
    std::string bytes(plugin->getSerializationSize(), '\0');
    plugin->serialize(bytes.data());
    return bytes;
  }

  static Plugin* restore(const char* name, const std::string& bytes) {
    return static_cast<Plugin*>(creator(name)->deserializePlugin("again", bytes.data(), bytes.size()));
  }

  static bool supports(Plugin* plugin, const std::vector<PluginTensorDesc>& tensors) {
    const auto count = static_cast<int32_t>(tensors.size());
    for (int32_t at = 0; at < count; ++at) {
      if (!plugin->supportsFormatCombination(at, tensors.data(), count - 1, 1)) return false;
    }
    return true;
  }

  static int32_t configure(Plugin* plugin, const std::vector<DynamicPluginTensorDesc>& in) {
    const auto out = dynamic(kImage, kImage, kImage);
    plugin->configurePlugin(in.data(), static_cast<int32_t>(in.size()), &out, 1);
    return 0;
  }

  static int32_t prepare(Plugin* plugin, const std::vector<PluginTensorDesc>&) { return plugin->initialize(); }
};

#if NV_TENSORRT_MAJOR >= 10
struct V3 {
  using Plugin = IPluginV3;
  static constexpr const char* kVersion = "2";

  static IPluginCreatorV3One* creator(const char* name) {
    return static_cast<IPluginCreatorV3One*>(registry->getCreator(name, kVersion, "trtdsl"));
  }
  static Plugin* make(const char* name, const Fields& fields) {
    return creator(name)->createPlugin("made", fields.get(), TensorRTPhase::kBUILD);
  }
  static void drop(Plugin* plugin) { delete plugin; }
  static IPluginV3OneBuild* build(Plugin* plugin) {
    return static_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
  }
  static IPluginV3OneRuntime* runtime(Plugin* plugin) {
    return static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  }

  static std::string dims(Plugin* plugin, const std::vector<Shape>& shapes) {
    Builder builder;
    const auto inputs = builder.shapes(shapes);
    DimsExprs output{};
    const auto count = static_cast<int32_t>(inputs.size());
    return build(plugin)->getOutputShapes(inputs.data(), count, nullptr, 0, &output, 1, builder) == 0 ? text(output)
                                                                                                      : "refused";
  }

  static std::string stored(Plugin* plugin) {
    const PluginFieldCollection* fields = runtime(plugin)->getFieldsToSerialize();
    if (fields->nbFields != 1 || fields->fields[0].type != PluginFieldType::kINT8) std::abort();
    return {static_cast<const char*>(fields->fields[0].data), static_cast<size_t>(fields->fields[0].length)};
  }

  static Plugin* restore(const char* name, const std::string& bytes) {
    const Fields fields{{"trtdsl", bytes.data(), PluginFieldType::kINT8, static_cast<int32_t>(bytes.size())}};
    return creator(name)->createPlugin("again", fields.get(), TensorRTPhase::kRUNTIME);
  }

  static bool supports(Plugin* plugin, const std::vector<PluginTensorDesc>& tensors) {
    std::vector<DynamicPluginTensorDesc> all(tensors.size());
    for (size_t index = 0; index < tensors.size(); ++index) all[index].desc = tensors[index];
    const auto count = static_cast<int32_t>(tensors.size());
    for (int32_t at = 0; at < count; ++at) {
      if (!build(plugin)->supportsFormatCombination(at, all.data(), count - 1, 1)) return false;
    }
    return true;
  }

  static int32_t configure(Plugin* plugin, const std::vector<DynamicPluginTensorDesc>& in) {
    const auto out = dynamic(kImage, kImage, kImage);
    return build(plugin)->configurePlugin(in.data(), static_cast<int32_t>(in.size()), &out, 1);
  }

  static int32_t prepare(Plugin* plugin, const std::vector<PluginTensorDesc>& in) {
    const PluginTensorDesc out = desc_of(kImage);
    return runtime(plugin)->onShapeChange(in.data(), static_cast<int32_t>(in.size()), &out, 1);
  }
};

int32_t enqueue(IPluginV3* plugin, const PluginTensorDesc* in, const PluginTensorDesc* out, const void* const* inputs,
                void* const* outputs) {
  return V3::runtime(plugin)->enqueue(in, out, inputs, outputs, nullptr, nullptr);
}
#endif

int32_t enqueue(IPluginV2DynamicExt* plugin, const PluginTensorDesc* in, const PluginTensorDesc* out,
                const void* const* inputs, void* const* outputs) {
  return plugin->enqueue(in, out, inputs, outputs, nullptr, nullptr);
}

template <typename Kind>
void drive() {
  const std::string version = std::string(" ") + Kind::kVersion;
  const auto with = [](const char* name, const Fields& fields, const auto& function) {
    auto* plugin = Kind::make(name, fields);
    if (plugin == nullptr) std::abort();
    function(plugin);
    Kind::drop(plugin);
  };
  const auto dims = [&](const char* what, const char* name, const Fields& fields, const std::vector<Shape>& shapes) {
    with(name, fields, [&](auto* plugin) { say(what + version, Kind::dims(plugin, shapes)); });
  };
  dims("padded", "ReflectPad", kPad, {kImage});
  dims("padded rows", "ReflectPad", kPad, {{3, 10, 20}});
  dims("upsampled", "Upsample", kUpsample, {{1, 2, 5, 7}});
  dims("a number", "Mish", kNone, {{}});
  dims("two inputs", "Mish", kNone, {kImage, kImage});
  dims("without an option", "InstanceNormPad", kNone, {kImage});
  dims("with an option", "InstanceNormPad", kNone, {kImage, kImage});

  with("InstanceNormPad", kNone, [&](auto* plugin) {
    const auto half = desc_of(kImage, DataType::kHALF), wide = desc_of(kImage);
    const auto channels_last = desc_of({2, 8, 10, 12}, DataType::kHALF, TensorFormat::kHWC8);
    const auto odd_channels = desc_of({2, 3, 10, 12}, DataType::kHALF, TensorFormat::kHWC8);
    const auto row = desc_of({2, 3, 10}, DataType::kHALF, TensorFormat::kHWC8);
    const auto supports = [&](const char* what, const std::vector<PluginTensorDesc>& tensors) {
      say(what + version, Kind::supports(plugin, tensors) ? "yes" : "no");
    };
    supports("fp16 two inputs", {half, half, half});
    supports("fp16 one input", {half, half});
    supports("hwc8", {channels_last, channels_last});
    supports("hwc8 in rows", {row, row});
    supports("hwc8 of 3 channels", {odd_channels, odd_channels});
    supports("two types", {half, wide});
    supports("two layouts", {channels_last, half, half});
    supports("three inputs", {half, half, half, half});
  });

  with("InstanceNormPad", kScaled, [&](auto* plugin) {
    const auto image = dynamic(kImage, kImage, kImage);
    say("configured" + version, std::to_string(Kind::configure(plugin, {image, image})));
    auto* copy = static_cast<typename Kind::Plugin*>(plugin->clone());
    const std::string bytes = Kind::stored(copy);
    say("clone is stored alike" + version, bytes == Kind::stored(plugin) ? "yes" : "no");
    auto* again = Kind::restore("InstanceNormPad", bytes);
    say("restored is stored alike" + version, again != nullptr && bytes == Kind::stored(again) ? "yes" : "no");
    auto* other = Kind::restore("InstanceNorm", bytes);
    say("another plugin's bytes" + version, other == nullptr ? "refused" : "taken");
    for (size_t length = 0; length < bytes.size(); ++length) {
      if (Kind::restore("InstanceNormPad", bytes.substr(0, length)) != nullptr) say("cut short" + version, "taken");
    }
    logged.clear();
    say("too long" + version, Kind::restore("InstanceNormPad", bytes + "x") == nullptr ? "refused" : "taken");

    // The restored plugin knows of its second input, and is not configured again.
    PluginTensorDesc in[] = {desc_of(kImage), desc_of({2, 3, 10, 21})};
    const PluginTensorDesc out[] = {desc_of(kImage)};
    char memory[4] = {};
    const void* inputs[] = {memory, memory};
    void* outputs[] = {memory};
    say("wrong shape enqueued" + version, std::to_string(enqueue(again, in, out, inputs, outputs)));
    Kind::drop(copy);
    Kind::drop(again);
  });

  with("ReflectPad", kPad, [&](auto* plugin) {
    say("too small" + version, std::to_string(Kind::configure(plugin, {dynamic(kImage, {1, 1, 3, 20}, kImage)})));
    say("too small at the end" + version,
        std::to_string(Kind::configure(plugin, {dynamic({1, 1, 3, 20}, kImage, kImage)})));
    Kind::configure(plugin, {dynamic(kImage, kImage, kImage)});
    const PluginTensorDesc in[] = {desc_of({1, 1, 3, 20})}, out[] = {desc_of({1, 1, 10, 23})};
    char memory[4] = {};
    const void* inputs[] = {memory};
    void* outputs[] = {memory};
    say("prepared for what is too small" + version, std::to_string(Kind::prepare(plugin, {in[0]})));
    say("enqueued what is too small" + version, std::to_string(enqueue(plugin, in, out, inputs, outputs)));
  });

  with("InstanceNorm", kScaled, [&](auto* plugin) {
    Kind::configure(plugin, {dynamic(kImage, kImage, kImage)});
    logged.clear();
    say("uploaded" + version, std::to_string(Kind::prepare(plugin, {desc_of(kImage)})));
  });
}

int fail() {
  std::fprintf(stderr, "%s\n", dlerror());
  return 1;
}

int main(int, char** arguments) {
  // As in programs that load TensorRT last.
  void* library = dlopen(arguments[2], RTLD_NOW);
  if (library == nullptr) return fail();
  const auto init = reinterpret_cast<bool (*)()>(dlsym(library, "initTrtdslPlugins"));
  say("registered without TensorRT", init() ? "yes" : "no");
  void* tensorrt = dlopen(arguments[1], RTLD_NOW);
  if (tensorrt == nullptr) return fail();
  say("registered with TensorRT", init() ? "yes" : "no");
  registry = reinterpret_cast<IPluginRegistry* (*)()>(dlsym(tensorrt, "getPluginRegistry"))();
  reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library, "setLoggerFinder"))(&finder);
  drive<V2>();
#if NV_TENSORRT_MAJOR >= 10
  drive<V3>();
#endif
  return 0;
}
