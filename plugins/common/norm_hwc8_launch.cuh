// Chooses how many blocks take which channels of channels-last fp16.
#pragma once

#include "common/norm_hwc8.cuh"
#include "common/team_launch.cuh"

namespace trtdsl {

constexpr int kHwc8Threads = 512;
constexpr int kHwc8Packs = 8;  // in registers
constexpr size_t kHwc8Workspace = size_t{2} * kMostGridBlocks * 64 * sizeof(float2);

template <typename Team, int kVectors, bool kFramed>
cudaError_t launch_hwc8_team(const Hwc8Arguments& tensors, const NormArguments& norm, const Frame& frame,
                             const typename Team::Memory& memory, const Device& device, const TeamLaunch& how,
                             cudaStream_t stream) {
  static_assert(sizeof(Hwc8Shared<kHwc8Threads, kVectors>) + 2048 < kReservedShared, "left for it");
  return launch_team<&norm_hwc8_kernel<Team, kHwc8Packs, kHwc8Threads, kVectors, 1, kFramed>>(
      device, how, stream, tensors, norm, frame, memory);
}

// Blocks take kVectors vectors of their pixels.
template <int kVectors, bool kFramed>
cudaError_t launch_hwc8_groups(Hwc8Arguments tensors, int samples, const NormArguments& norm, const Frame& frame,
                               const Device& device, void* workspace, cudaStream_t stream) {
  constexpr int kPixels = kHwc8Threads / kVectors;
  constexpr int kChannels = 8 * kVectors;
  using Block = ClusterTeam<1, float2, kChannels>;
  using Grid = GridTeam<float2, kChannels>;
  const int most = most_packs(device, kHwc8Threads);
  tensors.groups = ceil_divide(tensors.vectors, kVectors);
  tensors.units = samples * tensors.groups;
  tensors.by_groups = FastDivider(static_cast<uint32_t>(tensors.groups));
  TeamLaunch how;
  how.threads = kHwc8Threads;
  const auto keep = [&](int items) {
    tensors.kept = std::min(std::max(0, items - kHwc8Packs), most);
    tensors.residual_kept = tensors.residual ? std::min(items, most - tensors.kept) : 0;
    how.packs = tensors.kept + tensors.residual_kept;
  };
  const int items = ceil_divide(norm.size, kPixels);
  if (items <= kHwc8Packs + most && 2 * tensors.units >= device.processors) {
    keep(items);
    tensors.share = norm.size;
    tensors.turns = 1;
    how.blocks = tensors.units;
    return launch_hwc8_team<Block, kVectors, kFramed>(tensors, norm, frame, {}, device, how, stream);
  }
  const Division division = Division::of(device, tensors.units, norm.size, kPixels, kHwc8Packs + most);
  keep(division.items);
  tensors.share = division.share;
  tensors.turns = division.turns;
  how.blocks = division.blocks;
  how.teams = division.teams;
  how.cooperative = true;
  return launch_hwc8_team<Grid, kVectors, kFramed>(tensors, norm, frame, {static_cast<float2*>(workspace)}, device, how,
                                                   stream);
}

// Of `tensors`, only where they lie is given.
template <bool kFramed>
cudaError_t launch_hwc8(Hwc8Arguments tensors, int samples, const NormArguments& norm, const Frame& frame,
                        const Device& device, void* workspace, cudaStream_t stream) {
  tensors.vectors = ceil_divide(norm.channels, 8);
  const auto launch_groups = tensors.vectors > 4   ? &launch_hwc8_groups<8, kFramed>
                             : tensors.vectors > 1 ? &launch_hwc8_groups<4, kFramed>
                                                   : &launch_hwc8_groups<1, kFramed>;
  return launch_groups(tensors, samples, norm, frame, device, workspace, stream);
}

}  // namespace trtdsl
