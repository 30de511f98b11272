#include "common/glue.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <type_traits>

namespace trtdsl {
namespace {

using nvinfer1::PluginFieldType;

std::atomic<nvinfer1::ILoggerFinder*> logger_finder{nullptr};

bool known_type(PluginFieldType type, FieldType& result) {
  switch (type) {
    case PluginFieldType::kFLOAT16: result = FieldType::kFp16; return true;
    case PluginFieldType::kFLOAT32: result = FieldType::kFp32; return true;
    case PluginFieldType::kFLOAT64: result = FieldType::kFp64; return true;
    case PluginFieldType::kINT8: result = FieldType::kInt8; return true;
    case PluginFieldType::kINT16: result = FieldType::kInt16; return true;
    case PluginFieldType::kINT32: result = FieldType::kInt32; return true;
    case PluginFieldType::kCHAR: result = FieldType::kChar; return true;
    case PluginFieldType::kDIMS: result = FieldType::kDims; return true;
#if NV_TENSORRT_MAJOR >= 10
    case PluginFieldType::kINT64: result = FieldType::kInt64; return true;
#endif
    default: return false;
  }
}

PluginFieldType tensorrt_type(FieldType type) {
  switch (type) {
    case FieldType::kFp16: return PluginFieldType::kFLOAT16;
    case FieldType::kFp32: return PluginFieldType::kFLOAT32;
    case FieldType::kFp64: return PluginFieldType::kFLOAT64;
    case FieldType::kInt8: return PluginFieldType::kINT8;
    case FieldType::kInt16: return PluginFieldType::kINT16;
    case FieldType::kInt32:
    case FieldType::kBool: return PluginFieldType::kINT32;
#if NV_TENSORRT_MAJOR >= 10
    case FieldType::kInt64: return PluginFieldType::kINT64;
#endif
    case FieldType::kChar: return PluginFieldType::kCHAR;
    case FieldType::kDims: return PluginFieldType::kDIMS;
    default: return PluginFieldType::kUNKNOWN;
  }
}

DataType data_type(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kHALF: return DataType::kFloat16;
    case nvinfer1::DataType::kINT8: return DataType::kInt8;
    case nvinfer1::DataType::kINT32: return DataType::kInt32;
#if NV_TENSORRT_MAJOR >= 10
    case nvinfer1::DataType::kBF16: return DataType::kBFloat16;
    case nvinfer1::DataType::kINT64: return DataType::kInt64;
#endif
    default: return DataType::kFloat32;
  }
}

nvinfer1::DataType tensorrt_type(DataType type) {
  switch (type) {
    case DataType::kFloat16: return nvinfer1::DataType::kHALF;
    case DataType::kInt8: return nvinfer1::DataType::kINT8;
    case DataType::kInt32: return nvinfer1::DataType::kINT32;
#if NV_TENSORRT_MAJOR >= 10
    case DataType::kBFloat16: return nvinfer1::DataType::kBF16;
    case DataType::kInt64: return nvinfer1::DataType::kINT64;
#endif
    default: return nvinfer1::DataType::kFLOAT;
  }
}

// What sizes are in TensorRT: int32 in 8.6, int64 later.
using Extent = std::remove_reference_t<decltype(nvinfer1::Dims{}.d[0])>;

class DimensionBuilder final : public SizeBuilder {
 public:
  explicit DimensionBuilder(nvinfer1::IExprBuilder& builder) : builder_(builder) {}

  // Both throw instead of giving null.
  const void* constant(int64_t value) override {
    if (value < std::numeric_limits<Extent>::min() || value > std::numeric_limits<Extent>::max()) {
      throw std::out_of_range("a size of an output would be " + std::to_string(value));
    }
    return known(builder_.constant(static_cast<Extent>(value)));
  }

  const void* operation(Operation operation, const void* left, const void* right) override {
    using nvinfer1::DimensionOperation;
    static const DimensionOperation kOperations[] = {DimensionOperation::kSUM, DimensionOperation::kPROD,
                                                     DimensionOperation::kMAX, DimensionOperation::kMIN,
                                                     DimensionOperation::kSUB, DimensionOperation::kFLOOR_DIV};
    return known(
        builder_.operation(kOperations[static_cast<int>(operation)], *as_expression(left), *as_expression(right)));
  }

  static const nvinfer1::IDimensionExpr* as_expression(const void* expression) {
    return static_cast<const nvinfer1::IDimensionExpr*>(expression);
  }

 private:
  static const void* known(const nvinfer1::IDimensionExpr* expression) {
    if (expression == nullptr) throw std::runtime_error("TensorRT does not compute a size of an output");
    return expression;
  }

  nvinfer1::IExprBuilder& builder_;
};

// Whether a function of TensorRT is of the version that this library is compiled for; another one may be loaded too.
bool is_of_our_version(void* library) {
  void* found = dlsym(library, "getInferLibVersion");
  if (found == nullptr) return false;
  constexpr int32_t kMajor = NV_TENSORRT_MAJOR < 10 ? 1000 : 10000;  // in the number that the function gives
  return reinterpret_cast<int32_t (*)()>(found)() / kMajor == NV_TENSORRT_MAJOR;
}

}  // namespace

void set_logger_finder(nvinfer1::ILoggerFinder* finder) { logger_finder = finder; }

void* find_in_tensorrt(const char* symbol) {
  if (is_of_our_version(RTLD_DEFAULT)) return dlsym(RTLD_DEFAULT, symbol);
  const std::string name = "libnvinfer.so." + std::to_string(NV_TENSORRT_MAJOR);
  void* library = dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  return library == nullptr ? nullptr : dlsym(library, symbol);
}

void log_error(const std::string& message, Severity severity) {
  nvinfer1::ILogger* logger = nullptr;
  if (nvinfer1::ILoggerFinder* finder = logger_finder) logger = finder->findLogger();
  if (void* found = logger == nullptr ? find_in_tensorrt("getLogger") : nullptr) {
    logger = reinterpret_cast<nvinfer1::ILogger* (*)()>(found)();
  }
  if (logger != nullptr) {
    logger->log(severity, message.c_str());
  } else {
    std::fprintf(stderr, "%s\n", message.c_str());
  }
}

Settings::~Settings() {
  for (void* memory : device_) cudaFree(memory);
}

bool Settings::upload() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!device_.empty()) return true;
  std::vector<void*> device(info_.field_count, nullptr);
  cudaError_t error = cudaSuccess;
  for (int32_t index = 0; index < info_.field_count && error == cudaSuccess; ++index) {
    const auto& value = values_[index];
    if (!info_.fields[index].on_device || value.empty()) continue;
    error = cudaMalloc(&device[index], value.size());
    if (error == cudaSuccess) error = cudaMemcpy(device[index], value.data(), value.size(), cudaMemcpyHostToDevice);
  }
  if (error == cudaSuccess) {
    device_ = std::move(device);
    return true;
  }
  for (void* memory : device) cudaFree(memory);
  log_error(std::string(info_.name) + ": its fields do not get onto the device: " + cudaGetErrorString(error));
  return false;
}

std::vector<uint8_t> Settings::params() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::vector<void*> none(info_.field_count, nullptr);
  std::vector<uint8_t> bytes(info_.params_size);
  info_.fill(bytes.data(), values_, device_.empty() ? none.data() : device_.data());
  return bytes;
}

std::shared_ptr<Settings> settings_from(const PluginInfo& info, const nvinfer1::PluginFieldCollection* fields) {
  std::vector<GivenField> given;
  std::vector<std::vector<int64_t>> sizes;
  const int32_t count = fields == nullptr ? 0 : fields->nbFields;
  sizes.reserve(count);
  for (int32_t index = 0; index < count; ++index) {
    const nvinfer1::PluginField& field = fields->fields[index];
    GivenField one{field.name, FieldType::kInt32, false, field.data, field.length};
    one.is_known = known_type(field.type, one.type);
    if (one.is_known && one.type == FieldType::kDims) one.is_known = field.length == 1 && field.data != nullptr;
    if (one.is_known && one.type == FieldType::kDims) {
      const auto& dims = *static_cast<const nvinfer1::Dims*>(field.data);
      sizes.emplace_back(dims.d, dims.d + std::max(0, std::min(dims.nbDims, nvinfer1::Dims::MAX_DIMS)));
      one.data = sizes.back().data();
      one.length = static_cast<int32_t>(sizes.back().size());
    }
    given.push_back(one);
  }
  FieldValues values;
  std::string problem;
  if (!parse_fields(info, given, values, problem)) {
    log_error(std::string(info.name) + ": " + problem);
    return nullptr;
  }
  return std::make_shared<Settings>(info, std::move(values));
}

std::shared_ptr<Settings> settings_from(const PluginInfo& info, const void* data, size_t size, int32_t& input_count) {
  FieldValues values;
  std::string problem;
  if (!deserialize(info, data, size, values, input_count, problem)) {
    log_error(std::string(info.name) + ": " + problem);
    return nullptr;
  }
  return std::make_shared<Settings>(info, std::move(values));
}

FieldCollection::FieldCollection(const PluginInfo& info) {
  for (int32_t index = 0; index < info.field_count; ++index) {
    const FieldSpec& spec = info.fields[index];
    const int32_t length = spec.type == FieldType::kDims || spec.length == kAnyLength ? 1 : spec.length;
    fields_.emplace_back(spec.name, nullptr, tensorrt_type(spec.type), length);
  }
  collection_.nbFields = static_cast<int32_t>(fields_.size());
  collection_.fields = fields_.data();
}

bool is_format(const TensorFormat& format, const nvinfer1::PluginTensorDesc& tensor) {
  if (tensorrt_type(format.dtype) != tensor.type) return false;
  if (format.layout == Layout::kLinear) return tensor.format == nvinfer1::TensorFormat::kLINEAR;
  // Between the last channel and the next multiple of eight lies anything, which convolutions may read.
  return tensor.format == nvinfer1::TensorFormat::kHWC8 && tensor.dims.nbDims == 4 && tensor.dims.d[1] % 8 == 0;
}

nvinfer1::DataType output_type(const PluginInfo& info, int32_t output, const nvinfer1::DataType* inputs) {
  const int32_t type = info.output_types[output];
  return type < 0 ? inputs[-1 - type] : tensorrt_type(static_cast<DataType>(type));
}

bool output_dims(const Settings& settings, int32_t output, const nvinfer1::DimsExprs* inputs, int32_t input_count,
                 nvinfer1::IExprBuilder& builder, nvinfer1::DimsExprs& result) {
  const PluginInfo& info = settings.info();
  if (!takes(info, input_count, info.output_count) || output >= info.output_count) {
    log_error(std::string(info.name) + " takes another number of inputs than " + std::to_string(input_count));
    return false;
  }
  DimensionBuilder sizes(builder);
  std::vector<Sizes> shapes(input_count);
  for (int32_t index = 0; index < input_count; ++index) {
    for (int32_t axis = 0; axis < inputs[index].nbDims; ++axis) {
      shapes[index].emplace_back(&sizes, static_cast<const void*>(inputs[index].d[axis]));
    }
  }
  Sizes shape;
  if (!info.output_shape(settings.params().data(), output, shapes, shape) || shape.size() > kMaxRank) {
    log_error(std::string(info.name) + " does not take inputs of this number of axes");
    return false;
  }
  result.nbDims = static_cast<int32_t>(shape.size());
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const void* expression = shape[axis].expression;
    if (expression == nullptr && shape[axis].number < Whole(0)) {
      log_error(std::string(info.name) + ": a size of its output would be negative");
      return false;
    }
    if (expression == nullptr) expression = sizes.constant(shape[axis].number.value);
    result.d[axis] = DimensionBuilder::as_expression(expression);
  }
  return true;
}

Tensor tensor_of(const nvinfer1::PluginTensorDesc& desc, void* data) {
  static char nothing;
  Tensor tensor{};
  tensor.data = data == nullptr ? &nothing : data;
  tensor.dtype = data_type(desc.type);
  tensor.layout = desc.format == nvinfer1::TensorFormat::kHWC8 ? Layout::kHWC8 : Layout::kLinear;
  tensor.rank = desc.dims.nbDims;
  for (int32_t axis = 0; axis < desc.dims.nbDims && axis < kMaxRank; ++axis) tensor.dims[axis] = desc.dims.d[axis];
  return tensor;
}

bool check(const Settings& settings, const std::vector<Tensor>& inputs, Severity severity) {
  const char* problem = settings.info().check(settings.params().data(), inputs.data());
  if (problem != nullptr) log_error(std::string(settings.info().name) + ": " + problem, severity);
  return problem == nullptr;
}

int32_t run(const PluginInfo& info, const std::vector<uint8_t>& params, const nvinfer1::PluginTensorDesc* input_desc,
            const nvinfer1::PluginTensorDesc* output_desc, void const* const* inputs, void* const* outputs,
            int32_t input_count, void* workspace, cudaStream_t stream) {
  Tensor in[kMaxTensors] = {}, out[kMaxTensors] = {};
  for (int32_t index = 0; index < input_count; ++index) {
    in[index] = tensor_of(input_desc[index], const_cast<void*>(inputs[index]));
  }
  for (int32_t index = 0; index < info.output_count; ++index) {
    out[index] = tensor_of(output_desc[index], outputs[index]);
  }
  const char* problem = info.check(params.data(), in);
  const cudaError_t error = problem == nullptr ? info.launch(params.data(), in, out, workspace, stream) : cudaSuccess;
  if (error != cudaSuccess) problem = cudaGetErrorString(error);
  if (problem == nullptr) return 0;
  log_error(std::string(info.name) + ": " + problem);
  return -1;
}

}  // namespace trtdsl
