#include "common/plugin.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

namespace trtdsl {
namespace {

struct TypeInfo {
  const char* name;
  size_t size;
};

const TypeInfo& info_of(FieldType type) {
  static const TypeInfo kTypes[] = {{"fp16", 2},  {"fp32", 4},  {"fp64", 8}, {"int8", 1}, {"int16", 2},
                                    {"int32", 4}, {"int64", 8}, {"bool", 4}, {"char", 1}, {"dims", 8}};
  return kTypes[static_cast<int32_t>(type)];
}

template <typename T>
double as_number(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return static_cast<double>(value);
}

double half_as_number(uint16_t bits) {
  const int32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent < 31) return sign * std::ldexp(1024 + fraction, exponent - 25);
  return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
}

// The element as a number; false for texts, which have no range.
bool number_of(FieldType type, const uint8_t* bytes, double& number) {
  switch (type) {
    case FieldType::kFp16: {
      uint16_t bits = 0;
      std::memcpy(&bits, bytes, sizeof bits);
      number = half_as_number(bits);
      return true;
    }
    case FieldType::kFp32: number = as_number<float>(bytes); return true;
    case FieldType::kFp64: number = as_number<double>(bytes); return true;
    case FieldType::kInt8: number = as_number<int8_t>(bytes); return true;
    case FieldType::kInt16: number = as_number<int16_t>(bytes); return true;
    case FieldType::kInt32:
    case FieldType::kBool: number = as_number<int32_t>(bytes); return true;
    case FieldType::kInt64:
    case FieldType::kDims: number = as_number<int64_t>(bytes); return true;
    default: return false;
  }
}

// Not a number is in no range.
bool is_in_range(const FieldSpec& spec, double number) {
  if (spec.type == FieldType::kBool) return number == 0 || number == 1;
  if (spec.choice_count > 0) {
    for (int32_t index = 0; index < spec.choice_count; ++index) {
      if (number == static_cast<double>(spec.choices[index])) return true;
    }
    return false;
  }
  const bool is_low = spec.above ? !(number > spec.minimum) : !(number >= spec.minimum);
  const bool is_high = spec.below ? !(number < spec.maximum) : !(number <= spec.maximum);
  return !is_low && !is_high;
}

bool has_range(const FieldSpec& spec) {
  const double infinity = std::numeric_limits<double>::infinity();
  return spec.type == FieldType::kBool || spec.choice_count > 0 || spec.minimum != -infinity ||
         spec.maximum != infinity || spec.above || spec.below;
}

std::string check_elements(const FieldSpec& spec, const uint8_t* data, int64_t length) {
  if (!has_range(spec)) return "";
  for (int64_t index = 0; index < length; ++index) {
    double number = 0;
    if (number_of(spec.type, data + index * element_size(spec.type), number) && !is_in_range(spec, number)) {
      char shown[32];
      std::snprintf(shown, sizeof shown, "%.9g", number);
      return std::string(spec.name) + " is out of range: " + shown;
    }
  }
  return "";
}

std::string check_given(const FieldSpec& spec, const GivenField& field) {
  if (!field.is_known || field.type != spec.type) {
    // Booleans have no type of their own in TensorRT.
    const bool is_bool = field.is_known && spec.type == FieldType::kBool && field.type == FieldType::kInt32;
    if (!is_bool) return std::string(spec.name) + " has another type than " + name_of(spec.type);
  }
  if (field.length < 0 || (spec.length != kAnyLength && field.length != spec.length)) {
    return std::string(spec.name) + " has " + std::to_string(field.length) + " elements instead of " +
           std::to_string(spec.length);
  }
  if (field.length > 0 && field.data == nullptr) return std::string(spec.name) + " has no data";
  return check_elements(spec, static_cast<const uint8_t*>(field.data), field.length);
}

const FieldSpec* find(const PluginInfo& info, const char* name, int32_t& position) {
  for (position = 0; position < info.field_count; ++position) {
    if (name != nullptr && std::strcmp(info.fields[position].name, name) == 0) return &info.fields[position];
  }
  return nullptr;
}

// Changes with whatever the fields of a plugin are.
uint64_t layout_of(const PluginInfo& info) {
  uint64_t hash = 1469598103934665603ull;  // FNV-1a
  const auto mix = [&hash](const void* data, size_t size) {
    for (size_t index = 0; index < size; ++index) {
      hash = (hash ^ static_cast<const uint8_t*>(data)[index]) * 1099511628211ull;
    }
  };
  mix(info.name, std::strlen(info.name) + 1);
  for (int32_t index = 0; index < info.field_count; ++index) {
    const FieldSpec& spec = info.fields[index];
    mix(spec.name, std::strlen(spec.name) + 1);
    mix(&spec.type, sizeof spec.type);
    mix(&spec.length, sizeof spec.length);
  }
  return hash;
}

constexpr uint32_t kMagic = 0x31445254;

template <typename T>
void append(std::vector<uint8_t>& bytes, const T& value) {
  const auto* begin = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof(T));
}

template <typename T>
bool take(const uint8_t*& data, size_t& left, T& value) {
  if (left < sizeof(T)) return false;
  std::memcpy(&value, data, sizeof(T));
  data += sizeof(T);
  left -= sizeof(T);
  return true;
}

// On numbers where both are, else by whoever builds expressions.
template <typename OnNumbers>
Size combine(SizeBuilder::Operation operation, const Size& left, const Size& right, const OnNumbers& on_numbers) {
  SizeBuilder* builder = left.builder != nullptr ? left.builder : right.builder;
  if (builder == nullptr) return on_numbers(left.number, right.number);
  const auto expression = [builder](const Size& size) {
    return size.expression != nullptr ? size.expression : builder->constant(size.number.value);
  };
  return {builder, builder->operation(operation, expression(left), expression(right))};
}

}  // namespace

size_t element_size(FieldType type) { return info_of(type).size; }

const char* name_of(FieldType type) { return info_of(type).name; }

Size operator+(const Size& left, const Size& right) {
  return combine(SizeBuilder::Operation::kSum, left, right, [](Whole a, Whole b) { return a + b; });
}

Size operator-(const Size& left, const Size& right) {
  return combine(SizeBuilder::Operation::kDifference, left, right, [](Whole a, Whole b) { return a - b; });
}

Size operator*(const Size& left, const Size& right) {
  return combine(SizeBuilder::Operation::kProduct, left, right, [](Whole a, Whole b) { return a * b; });
}

Size floor_div(const Size& left, const Size& right) {
  return combine(SizeBuilder::Operation::kFloorDivision, left, right, [](Whole a, Whole b) { return floor_div(a, b); });
}

Size least(const Size& left, const Size& right) {
  return combine(SizeBuilder::Operation::kMin, left, right, [](Whole a, Whole b) { return least(a, b); });
}

Size greatest(const Size& left, const Size& right) {
  return combine(SizeBuilder::Operation::kMax, left, right, [](Whole a, Whole b) { return greatest(a, b); });
}

Size operator-(const Size& size) { return Size(0) - size; }

Size absolute(const Size& size) { return greatest(size, -size); }

bool parse_fields(const PluginInfo& info, const std::vector<GivenField>& given, FieldValues& values,
                  std::string& problem) {
  values.assign(info.field_count, {});
  std::vector<bool> seen(info.field_count, false);
  for (const GivenField& field : given) {
    int32_t position = 0;
    const FieldSpec* spec = find(info, field.name, position);
    if (spec == nullptr) {
      problem = std::string("there is no field ") + (field.name == nullptr ? "without a name" : field.name);
      return false;
    }
    if (seen[position]) {
      problem = std::string(spec->name) + " is given twice";
      return false;
    }
    problem = check_given(*spec, field);
    if (!problem.empty()) return false;
    seen[position] = true;
    const auto* data = static_cast<const uint8_t*>(field.data);
    if (field.length > 0) values[position].assign(data, data + field.length * element_size(spec->type));
  }
  for (int32_t position = 0; position < info.field_count; ++position) {
    const FieldSpec& spec = info.fields[position];
    if (seen[position]) continue;
    if (spec.required) {
      problem = std::string(spec.name) + " is missing";
      return false;
    }
    const auto* data = static_cast<const uint8_t*>(spec.default_elements);
    if (spec.default_length > 0) {
      values[position].assign(data, data + spec.default_length * element_size(spec.type));
    }
  }
  return true;
}

std::vector<uint8_t> serialize(const PluginInfo& info, const FieldValues& values, int32_t input_count) {
  std::vector<uint8_t> bytes;
  append(bytes, kMagic);
  append(bytes, layout_of(info));
  append(bytes, input_count);
  for (const auto& value : values) {
    append(bytes, static_cast<uint64_t>(value.size()));
    bytes.insert(bytes.end(), value.begin(), value.end());
  }
  return bytes;
}

bool deserialize(const PluginInfo& info, const void* data, size_t size, FieldValues& values, int32_t& input_count,
                 std::string& problem) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint32_t magic = 0;
  uint64_t layout = 0;
  problem = "what the engine holds of the plugin is damaged";
  if (bytes == nullptr || !take(bytes, size, magic) || magic != kMagic || !take(bytes, size, layout)) return false;
  if (layout != layout_of(info)) {
    problem = "the engine was built with other fields than this library knows";
    return false;
  }
  if (!take(bytes, size, input_count) || input_count < 0 || input_count > info.input_count) return false;
  values.assign(info.field_count, {});
  for (int32_t position = 0; position < info.field_count; ++position) {
    const FieldSpec& spec = info.fields[position];
    uint64_t length = 0;
    if (!take(bytes, size, length) || length > size || length % element_size(spec.type) != 0) return false;
    const uint64_t count = length / element_size(spec.type);
    if (spec.length != kAnyLength && count != static_cast<uint64_t>(spec.length)) return false;
    if (!check_elements(spec, bytes, static_cast<int64_t>(count)).empty()) return false;
    values[position].assign(bytes, bytes + length);
    bytes += length;
    size -= length;
  }
  if (size != 0) return false;
  problem.clear();
  return true;
}

}  // namespace trtdsl
