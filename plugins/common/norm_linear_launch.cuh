// Chooses how many blocks take an instance that lies in one piece.
#pragma once

#include "common/norm_linear.cuh"
#include "common/team_launch.cuh"

namespace trtdsl {

template <int kBlocks>
using LinearCluster = ClusterTeam<kBlocks, Moments, 1>;
using LinearGrid = GridTeam<Moments, 1>;

constexpr size_t kLinearWorkspace = size_t{2} * kMostGridBlocks * sizeof(Moments);

template <typename T, bool kFramed>
class LinearNorm {
 public:
  LinearNorm(const LinearArguments<T>& tensors, const NormArguments& norm, const Frame& frame, const Device& device,
             void* workspace, cudaStream_t stream)
      : tensors_(tensors), norm_(norm), frame_(frame), device_(device), workspace_(workspace), stream_(stream) {}

  cudaError_t launch() {
    tensors_.alike = (reinterpret_cast<uintptr_t>(tensors_.x) - reinterpret_cast<uintptr_t>(tensors_.y)) % 16 == 0;
    if constexpr (!kFramed) {
      if (packs_of(1) <= 32 * kFew) return launch_cluster<1, kFew, 32, 16>();
      if (packs_of(1) <= 128 * kFew) return launch_cluster<1, kFew, 128, 4>();
    }
    int cluster = 1;
    while (cluster < 16 && packs_of(cluster) > kGoodShare) cluster *= 2;
    while (cluster < 16 && int64_t{tensors_.units} * cluster < device_.processors &&
           packs_of(2 * cluster) >= kLeastShare)
      cluster *= 2;
    const int64_t room = int64_t{kMost + most_packs(device_, kThreads)} * kThreads;
    for (; cluster > 0 && packs_of(cluster) <= room; cluster /= 2) {
      bool done = false;
      switch (cluster) {
        case 16: done = try_cluster<16>(); break;
        case 8: done = try_cluster<8>(); break;
        case 4: done = try_cluster<4>(); break;
        case 2: done = try_cluster<2>(); break;
        default: done = try_cluster<1>();
      }
      if (done) return error_;
    }
    return launch_grid();
  }

 private:
  static constexpr int kElements = 16 / sizeof(T);
  static constexpr int kFew = 8;                     // packs in registers, where an instance has few
  static constexpr int kMost = kFramed ? 0 : 16;     // and where it has many
  static constexpr int kThreads = 256;
  static constexpr int kGridThreads = 512;
  // Packs of a block: an SM has room for two or more, so that one loads while one stores.
  static constexpr int kGoodShare = kFramed ? 4096 : 8192;
  static constexpr int kLeastShare = 1024;

  // What one of so many blocks takes.
  int64_t packs_of(int blocks) const {
    const int64_t numbers = kFramed ? int64_t{ceil_divide(frame_.height, blocks)} * frame_.width : norm_.size;
    const bool whole = is_aligned(tensors_.x, 16) && norm_.size % kElements == 0 && numbers % kElements == 0;
    const int64_t packs = whole ? numbers / kElements : (numbers + 2 * kElements - 2) / kElements;
    return kFramed ? packs : ceil_divide<int64_t>(packs, blocks);
  }

  template <int kBlocks>
  bool try_cluster() {
    constexpr auto kKernel = &norm_linear_kernel<T, LinearCluster<kBlocks>, kMost, kThreads, 2, kFramed>;
    if (!has_cluster<kKernel>(device_, kThreads, kBlocks)) return false;
    error_ = launch_cluster<kBlocks, kMost, kThreads, 2>();
    return true;
  }

  template <int kBlocks, int kPacks, int kBlockThreads, int kMinBlocks>
  cudaError_t launch_cluster() {
    using Team = LinearCluster<kBlocks>;
    const int packs = static_cast<int>(packs_of(kBlocks));
    TeamLaunch how;
    how.blocks = int64_t{tensors_.units} * kBlocks;
    how.threads = kBlockThreads;
    how.packs = std::max(0, ceil_divide(packs, kBlockThreads) - kPacks);
    how.cluster = kBlocks;
    tensors_.turns = 1;
    tensors_.share = kFramed ? ceil_divide(frame_.height, kBlocks) : packs;
    tensors_.kept = how.packs;
    return launch_team<&norm_linear_kernel<T, Team, kPacks, kBlockThreads, kMinBlocks, kFramed>>(
        device_, how, stream_, tensors_, norm_, frame_, typename Team::Memory{});
  }

  cudaError_t launch_grid() {
    const int most = most_packs(device_, kGridThreads);
    const int rows_at_once = std::max(1, kGridThreads * kElements / frame_.width);
    const int rows_kept = static_cast<int>(int64_t{most} * kGridThreads * kElements / frame_.width / rows_at_once);
    const Division division = kFramed ? Division::of(device_, tensors_.units, frame_.height, rows_at_once, rows_kept)
                                      : Division::of(device_, tensors_.units, packs_of(1), kGridThreads, most);
    const int64_t packs = kFramed ? ceil_divide<int64_t>(int64_t{division.share} * frame_.width, kElements) + 1
                                  : division.share;
    TeamLaunch how;
    how.blocks = division.blocks;
    how.teams = division.teams;
    how.threads = kGridThreads;
    how.packs = static_cast<int>(std::min<int64_t>(most, ceil_divide<int64_t>(packs, kGridThreads)));
    how.cooperative = true;
    tensors_.turns = division.turns;
    tensors_.share = division.share;
    tensors_.kept = how.packs;
    return launch_team<&norm_linear_kernel<T, LinearGrid, 0, kGridThreads, 1, kFramed>>(
        device_, how, stream_, tensors_, norm_, frame_, LinearGrid::Memory{static_cast<Moments*>(workspace_)});
  }

  LinearArguments<T> tensors_;
  NormArguments norm_;
  Frame frame_;
  Device device_;
  void* workspace_;
  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace trtdsl
