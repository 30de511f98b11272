// Launches kernels whose blocks work in teams.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "common/device.h"
#include "common/indexing.cuh"

namespace trtdsl {

// The most blocks that tell each other what they found through the workspace.
constexpr int kMostGridBlocks = 256;

// Shared memory that is not for packs: what kernels declare, and what the system takes.
constexpr int kReservedShared = 12 * 1024;

struct TeamLaunch {
  int64_t blocks = 0;
  int teams = 1;  // of a grid that runs at once
  int threads = 0;
  int packs = 0;    // of a thread, in shared memory
  int cluster = 1;  // blocks
  bool cooperative = false;
};

// Packs that fit into shared memory, for each of so many threads. Two more than these lie around them.
inline int most_packs(const Device& device, int threads) {
  return ((device.shared_bytes - kReservedShared) / 16 - 2) / threads;
}

struct TeamConfiguration {
  cudaLaunchConfig_t config{};
  std::array<cudaLaunchAttribute, 2> attributes{};

  TeamConfiguration(const TeamLaunch& how, cudaStream_t stream) {
    config.gridDim = dim3(static_cast<unsigned>(how.blocks), static_cast<unsigned>(how.teams));
    config.blockDim = dim3(static_cast<unsigned>(how.threads));
    config.dynamicSmemBytes = (static_cast<size_t>(how.packs) * how.threads + 2) * 16;
    config.stream = stream;
    config.attrs = attributes.data();
    if (how.cluster > 1) {
      attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
      attributes[config.numAttrs++].val.clusterDim = {static_cast<unsigned>(how.cluster), 1, 1};
    }
    if (how.cooperative) {
      attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
      attributes[config.numAttrs++].val.cooperative = 1;
    }
  }
  TeamConfiguration(const TeamConfiguration&) = delete;
};

// Allows a kernel all the shared memory there is, whatever it needs this time: so it does not matter which of several
// threads does it when.
template <auto kKernel>
cudaError_t prepare(const Device& device, const TeamLaunch& how) {
  if (const cudaError_t error = cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                     device.shared_bytes - kReservedShared))
    return error;
  return how.cluster > 8 ? cudaFuncSetAttribute(kKernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1)
                         : cudaSuccess;
}

template <auto kKernel, typename... Arguments>
cudaError_t launch_team(const Device& device, const TeamLaunch& how, cudaStream_t stream, Arguments... arguments) {
  if (how.blocks == 0) return cudaSuccess;
  if (how.blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  if (how.cooperative && !device.cooperative) return cudaErrorNotSupported;
  if (const cudaError_t error = prepare<kKernel>(device, how)) return error;
  const TeamConfiguration configuration(how, stream);
  return cudaLaunchKernelEx(&configuration.config, kKernel, arguments...);
}

// Whether the device has room for such a cluster, whatever shared memory its blocks take. It is asked once.
template <auto kKernel>
bool has_cluster(const Device& device, int threads, int cluster) {
  constexpr int kDevices = 64;
  static std::array<std::atomic<signed char>, kDevices> known{};
  if (cluster == 1) return true;
  if (device.major < 9 || device.id >= kDevices) return false;
  if (known[device.id] == 0) {
    TeamLaunch how;
    how.blocks = cluster;
    how.threads = threads;
    how.packs = most_packs(device, threads);
    how.cluster = cluster;
    const TeamConfiguration configuration(how, nullptr);
    int clusters = 0;
    const bool found = prepare<kKernel>(device, how) == cudaSuccess &&
                       cudaOccupancyMaxActiveClusters(&clusters, kKernel, &configuration.config) == cudaSuccess &&
                       clusters > 0;
    if (!found) cudaGetLastError();
    known[device.id] = found ? 1 : -1;
  }
  return known[device.id] == 1;
}

// How units are shared out among teams of blocks, one block per SM, so that all run at once.
struct Division {
  int teams = 1;
  int blocks = 1;  // of a team
  int turns = 1;   // of a team, which takes a unit in each
  int share = 0;   // of a block: of a unit
  int items = 0;   // of a thread

  // `size` is a unit's, of which a block takes `at_once`; threads keep at most `kept` items and read the others again.
  static Division of(const Device& device, int units, int64_t size, int at_once, int kept) {
    constexpr int kTurnCost = 10;  // items that could be moved while blocks wait for each other
    const int most = std::min(device.processors, kMostGridBlocks);
    Division best;
    int64_t least = INT64_MAX;
    for (int teams = 1; teams <= std::min(units, most); ++teams) {
      Division division;
      division.teams = teams;
      division.blocks = static_cast<int>(std::min<int64_t>(most / teams, ceil_divide<int64_t>(size, at_once)));
      division.turns = ceil_divide(units, teams);
      division.share = static_cast<int>(ceil_divide<int64_t>(size, division.blocks));
      division.items = ceil_divide(division.share, at_once);
      const int again = std::max(0, division.items - kept);
      const int64_t cost = division.turns * (2 * int64_t{division.items} + again + kTurnCost);
      if (cost < least) {
        least = cost;
        best = division;
      }
    }
    return best;
  }
};

}  // namespace trtdsl
