// How TensorRT gets to know the plugins: when the library is loaded, or when it asks for them.

#include <cstring>

#include "common/glue_v2.h"
#if NV_TENSORRT_MAJOR >= 10
#include "common/glue_v3.h"
#endif

#define TRTDSL_EXPORT extern "C" __attribute__((visibility("default")))

namespace trtdsl {
namespace {

using nvinfer1::IPluginRegistry;
#if NV_TENSORRT_MAJOR >= 10
using AnyCreator = nvinfer1::IPluginCreatorInterface;
#else
using AnyCreator = nvinfer1::IPluginCreator;
#endif

struct Creators {
  std::vector<std::unique_ptr<CreatorV2>> v2;
#if NV_TENSORRT_MAJOR >= 10
  std::vector<std::unique_ptr<CreatorV3>> v3;
#endif
};

// Never destroyed: registries outlive this library's static objects.
Creators& creators() {
  static auto* const made = [] {
    auto* all = new Creators;
    for (const PluginInfo* info : all_plugins()) {
      all->v2.push_back(std::make_unique<CreatorV2>(*info));
#if NV_TENSORRT_MAJOR >= 10
      all->v3.push_back(std::make_unique<CreatorV3>(*info));
#endif
    }
    return all;
  }();
  return *made;
}

IPluginRegistry* registry() {
  void* found = find_in_tensorrt("getPluginRegistry");
  return found == nullptr ? nullptr : reinterpret_cast<IPluginRegistry* (*)()>(found)();
}

// Registered plugins of the same name and version stay: the library may be there twice.
bool is_registered(IPluginRegistry& registry, const char* name, const char* version, const char* space) {
  int32_t count = 0;
#if NV_TENSORRT_MAJOR >= 10
  AnyCreator* const* known = registry.getAllCreators(&count);
  for (int32_t index = 0; index < count; ++index) {
    const char *its_name = nullptr, *its_version = nullptr, *its_space = nullptr;
    if (std::strcmp(known[index]->getInterfaceInfo().kind, "PLUGIN CREATOR_V1") == 0) {
      const auto* creator = static_cast<const nvinfer1::IPluginCreator*>(known[index]);
      its_name = creator->getPluginName();
      its_version = creator->getPluginVersion();
      its_space = creator->getPluginNamespace();
    } else if (std::strcmp(known[index]->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") == 0) {
      const auto* creator = static_cast<const nvinfer1::IPluginCreatorV3One*>(known[index]);
      its_name = creator->getPluginName();
      its_version = creator->getPluginVersion();
      its_space = creator->getPluginNamespace();
    } else {
      continue;
    }
#else
  nvinfer1::IPluginCreator* const* known = registry.getPluginCreatorList(&count);
  for (int32_t index = 0; index < count; ++index) {
    const char* its_name = known[index]->getPluginName();
    const char* its_version = known[index]->getPluginVersion();
    const char* its_space = known[index]->getPluginNamespace();
#endif
    if (its_name != nullptr && its_version != nullptr && its_space != nullptr && std::strcmp(its_name, name) == 0 &&
        std::strcmp(its_version, version) == 0 && std::strcmp(its_space, space) == 0) {
      return true;
    }
  }
  return false;
}

std::vector<AnyCreator*> missing_from(IPluginRegistry* registry) {
  std::vector<AnyCreator*> missing;
  const auto add = [&](auto& creator) {
    if (registry == nullptr || !is_registered(*registry, creator.getPluginName(), creator.getPluginVersion(),
                                              creator.getPluginNamespace())) {
      missing.push_back(&creator);
    }
  };
  for (auto& creator : creators().v2) add(*creator);
#if NV_TENSORRT_MAJOR >= 10
  for (auto& creator : creators().v3) add(*creator);
#endif
  return missing;
}

bool register_all() {
  return guarded("trtdsl", false, [] {
    IPluginRegistry* there = registry();
    if (there == nullptr) return false;
    for (AnyCreator* creator : missing_from(there)) {
#if NV_TENSORRT_MAJOR >= 10
      const bool is_v1 = std::strcmp(creator->getInterfaceInfo().kind, "PLUGIN CREATOR_V1") == 0;
      const char* space = is_v1 ? static_cast<nvinfer1::IPluginCreator*>(creator)->getPluginNamespace()
                                : static_cast<nvinfer1::IPluginCreatorV3One*>(creator)->getPluginNamespace();
      if (!there->registerCreator(*creator, space)) return false;
#else
      if (!there->registerCreator(*creator, creator->getPluginNamespace())) return false;
#endif
    }
    return true;
  });
}

[[maybe_unused]] const bool registered_when_loaded = register_all();

// What the registry does not have yet, for it to register; the array stays as it is until the thread asks again.
AnyCreator* const* unregistered(int32_t& count) noexcept {
  thread_local std::vector<AnyCreator*> list;
  count = 0;
  return guarded<AnyCreator* const*>("trtdsl", nullptr, [&]() -> AnyCreator* const* {
    list = missing_from(registry());
    count = static_cast<int32_t>(list.size());
    list.push_back(nullptr);  // so that there is an array even of none
    return list.data();
  });
}

}  // namespace
}  // namespace trtdsl

#if NV_TENSORRT_MAJOR >= 10
TRTDSL_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  return trtdsl::unregistered(count);
}
#else
TRTDSL_EXPORT nvinfer1::IPluginCreator* const* getPluginCreators(int32_t& count) {
  return trtdsl::unregistered(count);
}
#endif

TRTDSL_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* finder) { trtdsl::set_logger_finder(finder); }

// Registers what is not registered yet; for processes that load TensorRT after this library.
TRTDSL_EXPORT bool initTrtdslPlugins() { return trtdsl::register_all(); }
