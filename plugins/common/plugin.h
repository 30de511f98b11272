// What is known of a plugin, without its types: generated code fills it in, the glue to TensorRT reads it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/numbers.h"
#include "common/tensor.h"

namespace trtdsl {

// The order is that of trtdsl/library/generate.py. kBool is an int32 of 0 or 1, kDims are sizes as int64.
enum class FieldType : int32_t { kFp16, kFp32, kFp64, kInt8, kInt16, kInt32, kInt64, kBool, kChar, kDims };

size_t element_size(FieldType type);
const char* name_of(FieldType type);

constexpr int32_t kAnyLength = -1;
// The most inputs, and the most outputs, that a plugin has.
constexpr int32_t kMaxTensors = 16;

struct FieldSpec {
  const char* name;
  FieldType type;
  int32_t length;  // elements; kAnyLength: any number
  bool required;
  bool on_device;
  const void* default_elements;
  int32_t default_length;
  // Numbers lie between these, which themselves are out of range where `above` or `below` says so.
  double minimum;
  double maximum;
  bool above;
  bool below;
  const int64_t* choices;
  int32_t choice_count;
};

// The elements of each field, in the order of the specs.
using FieldValues = std::vector<std::vector<uint8_t>>;

// One field as a creator is given it.
struct GivenField {
  const char* name;
  FieldType type;
  bool is_known;  // whether `type` is one of ours
  const void* data;
  int32_t length;
};

// A size of an output: a number, or an expression of whoever builds it.
class SizeBuilder {
 public:
  enum class Operation { kSum, kProduct, kMax, kMin, kDifference, kFloorDivision };
  virtual const void* constant(int64_t value) = 0;
  virtual const void* operation(Operation operation, const void* left, const void* right) = 0;

 protected:
  ~SizeBuilder() = default;
};

struct Size {
  Size(Whole number) : number(number) {}  // NOLINT: numbers are sizes
  Size(SizeBuilder* builder, const void* expression) : builder(builder), expression(expression) {}

  Whole number = 0;
  SizeBuilder* builder = nullptr;
  const void* expression = nullptr;
};

Size operator+(const Size& left, const Size& right);
Size operator-(const Size& left, const Size& right);
Size operator*(const Size& left, const Size& right);
Size operator-(const Size& size);
Size floor_div(const Size& left, const Size& right);
Size least(const Size& left, const Size& right);
Size greatest(const Size& left, const Size& right);
Size absolute(const Size& size);

using Sizes = std::vector<Size>;

struct TensorFormat {
  DataType dtype;
  Layout layout;
};

struct PluginInfo {
  const char* name;
  const char* space;
  const FieldSpec* fields;
  int32_t field_count;
  int32_t needed_inputs;
  int32_t input_count;
  int32_t output_count;
  const TensorFormat* formats;  // [format_count][input_count + output_count]
  int32_t format_count;
  // For each output its type, or minus one and minus the input that has it.
  const int32_t* output_types;
  size_t params_size;
  // Fills a Params of that size; `device` has the memory of the fields that are on the device, or null.
  void (*fill)(void* params, const FieldValues& values, const void* const* device);
  // What is wrong with shapes, or null. The data of an input that is left out is null.
  const char* (*check)(const void* params, const Tensor* inputs);
  // False where an input has another number of axes than it may have. Inputs that are left out are not in the vector.
  bool (*output_shape)(const void* params, int32_t output, const std::vector<Sizes>& inputs, Sizes& shape);
  size_t (*workspace_size)(const void* params, const Tensor* inputs, const Tensor* outputs);
  cudaError_t (*launch)(const void* params, const Tensor* inputs, const Tensor* outputs, void* workspace,
                        cudaStream_t stream);
};

// All plugins of the library; generated.
const std::vector<const PluginInfo*>& all_plugins();

// The values for what a creator is given. What is wrong goes into `problem`, and nothing is guessed.
bool parse_fields(const PluginInfo& info, const std::vector<GivenField>& given, FieldValues& values,
                  std::string& problem);

// What an engine keeps of a plugin: its fields, and how many inputs it was configured for.
std::vector<uint8_t> serialize(const PluginInfo& info, const FieldValues& values, int32_t input_count);
bool deserialize(const PluginInfo& info, const void* data, size_t size, FieldValues& values, int32_t& input_count,
                 std::string& problem);

}  // namespace trtdsl

// The kernels of a plugin as C functions, for programs without TensorRT.
#define TRTDSL_EXPORT_KERNELS(plugin)                                                                           \
  extern "C" __attribute__((visibility("default"))) const char* trtdsl_##plugin##_check(                         \
      const void* params, const trtdsl::Tensor* inputs) {                                                        \
    return trtdsl::plugin::kInfo.check(params, inputs);                                                          \
  }                                                                                                              \
  extern "C" __attribute__((visibility("default"))) size_t trtdsl_##plugin##_workspace_size(                     \
      const void* params, const trtdsl::Tensor* inputs, const trtdsl::Tensor* outputs) {                         \
    return trtdsl::plugin::kInfo.workspace_size(params, inputs, outputs);                                        \
  }                                                                                                              \
  extern "C" __attribute__((visibility("default"))) int trtdsl_##plugin##_launch(                                \
      const void* params, const trtdsl::Tensor* inputs, const trtdsl::Tensor* outputs, void* workspace,          \
      cudaStream_t stream) {                                                                                     \
    return trtdsl::plugin::kInfo.launch(params, inputs, outputs, workspace, stream);                             \
  }
