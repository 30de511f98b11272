// What both kinds of plugins, V2 and V3, need of TensorRT's types.
#pragma once

#include <NvInfer.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/plugin.h"

namespace trtdsl {

// Writes a line to TensorRT's log, or to stderr where there is none.
using Severity = nvinfer1::ILogger::Severity;
void log_error(const std::string& message, Severity severity = Severity::kERROR);
void set_logger_finder(nvinfer1::ILoggerFinder* finder);

// An entry point of the TensorRT that this process has loaded, or null.
void* find_in_tensorrt(const char* symbol);

// The fields of one plugin, shared by its clones, with what lies on the device until the last of them goes.
class Settings {
 public:
  Settings(const PluginInfo& info, FieldValues values) : info_(info), values_(std::move(values)) {}
  ~Settings();
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  const PluginInfo& info() const { return info_; }
  const FieldValues& values() const { return values_; }

  // Copies the fields that belong there to the device, once. Allocates and waits: not for enqueue.
  bool upload();

  // The plugin's Params, which point into these settings.
  std::vector<uint8_t> params() const;

 private:
  const PluginInfo& info_;
  FieldValues values_;
  mutable std::mutex mutex_;  // of what is on the device: contexts may begin at the same time
  std::vector<void*> device_;
};

// Null, with a line in the log, for fields and bytes that are not as they have to be.
std::shared_ptr<Settings> settings_from(const PluginInfo& info, const nvinfer1::PluginFieldCollection* fields);
std::shared_ptr<Settings> settings_from(const PluginInfo& info, const void* data, size_t size, int32_t& input_count);

// A collection over field specs, as creators show them.
class FieldCollection {
 public:
  explicit FieldCollection(const PluginInfo& info);
  FieldCollection(const FieldCollection&) = delete;
  FieldCollection& operator=(const FieldCollection&) = delete;

  const nvinfer1::PluginFieldCollection* get() const { return &collection_; }

 private:
  std::vector<nvinfer1::PluginField> fields_;
  nvinfer1::PluginFieldCollection collection_{};
};

bool is_format(const TensorFormat& format, const nvinfer1::PluginTensorDesc& tensor);

inline bool takes(const PluginInfo& info, int32_t inputs, int32_t outputs) {
  return inputs >= info.needed_inputs && inputs <= info.input_count && outputs == info.output_count;
}

// Whether the tensors up to `position` have types and layouts that a kernel takes.
template <typename TensorAt>
bool supports(const PluginInfo& info, int32_t position, int32_t inputs, int32_t outputs, const TensorAt& tensor_at) {
  if (!takes(info, inputs, outputs)) return false;
  const int32_t width = info.input_count + info.output_count;
  for (int32_t row = 0; row < info.format_count; ++row) {
    bool fits = true;
    for (int32_t index = 0; index <= position && fits; ++index) {
      const int32_t column = index < inputs ? index : index - inputs + info.input_count;
      fits = is_format(info.formats[row * width + column], tensor_at(index));
    }
    if (fits) return true;
  }
  return false;
}

// The tensor that a description is of. One without elements, or whose data is not there yet, has some address.
Tensor tensor_of(const nvinfer1::PluginTensorDesc& desc, void* data);

nvinfer1::DataType output_type(const PluginInfo& info, int32_t output, const nvinfer1::DataType* inputs);

bool output_dims(const Settings& settings, int32_t output, const nvinfer1::DimsExprs* inputs, int32_t input_count,
                 nvinfer1::IExprBuilder& builder, nvinfer1::DimsExprs& result);

// The tensors of a call, in `slots` of which those past `count` are left out. Their data is not there to be read.
template <typename DescAt>
std::vector<Tensor> tensors_of(int32_t count, int32_t slots, const DescAt& desc_at) {
  std::vector<Tensor> tensors(slots, Tensor{});
  for (int32_t index = 0; index < count && index < slots; ++index) tensors[index] = tensor_of(desc_at(index), nullptr);
  return tensors;
}

// Whether a plugin takes inputs of these shapes, with a line in the log where it does not.
bool check(const Settings& settings, const std::vector<Tensor>& inputs, Severity severity = Severity::kERROR);

// enqueue, of both kinds: no allocation, and the checks once more. 0 where all is well.
int32_t run(const PluginInfo& info, const std::vector<uint8_t>& params, const nvinfer1::PluginTensorDesc* input_desc,
            const nvinfer1::PluginTensorDesc* output_desc, void const* const* inputs, void* const* outputs,
            int32_t input_count, void* workspace, cudaStream_t stream);

// Calls a function that may throw, for entry points that must not.
template <typename Result, typename Function>
Result guarded(const char* name, Result otherwise, const Function& function) noexcept {
  try {
    return function();
  } catch (const std::exception& error) {
    try {
      log_error(std::string(name) + ": " + error.what());
    } catch (...) {  // not even memory for a line
    }
  } catch (...) {
  }
  return otherwise;
}

}  // namespace trtdsl
