// C functions over all that is generated of plugins, for programs without CUDA and TensorRT.
#include <cstring>

#include "common/plugin.h"

using namespace trtdsl;

namespace {

std::string problem;
FieldValues values;

const PluginInfo& info_of(int32_t plugin) { return *all_plugins()[plugin]; }

}  // namespace

extern "C" {

// What is wrong with fields, or null, and then `stored` and `size` are what an engine keeps, and `params` is filled.
const char* probe_make(int32_t plugin, const GivenField* fields, int32_t count, void* params, uint8_t* stored,
                       int32_t* size) {
  const PluginInfo& info = info_of(plugin);
  if (!parse_fields(info, {fields, fields + count}, values, problem)) return problem.c_str();
  const std::vector<const void*> device(info.field_count, "some address");
  info.fill(params, values, device.data());
  const std::vector<uint8_t> bytes = serialize(info, values, info.input_count);
  *size = static_cast<int32_t>(bytes.size());
  std::memcpy(stored, bytes.data(), bytes.size());
  return nullptr;
}

const char* probe_restore(int32_t plugin, const uint8_t* stored, int32_t size) {
  int32_t input_count = 0;
  return deserialize(info_of(plugin), stored, size, values, input_count, problem) ? nullptr : problem.c_str();
}

const char* probe_check(int32_t plugin, const void* params, const Tensor* inputs) {
  return info_of(plugin).check(params, inputs);
}

// The number of axes of an output, or -1.
int32_t probe_shape(int32_t plugin, const void* params, int32_t output, const Tensor* inputs, int64_t* shape) {
  const PluginInfo& info = info_of(plugin);
  std::vector<Sizes> shapes;
  for (int32_t index = 0; index < info.input_count && inputs[index].data != nullptr; ++index) {
    shapes.emplace_back(inputs[index].dims, inputs[index].dims + inputs[index].rank);
  }
  Sizes made;
  if (!info.output_shape(params, output, shapes, made)) return -1;
  for (size_t axis = 0; axis < made.size(); ++axis) shape[axis] = made[axis].number.value;
  return static_cast<int32_t>(made.size());
}
}
