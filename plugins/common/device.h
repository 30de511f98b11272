// What a launcher asks of the device that it launches on.
#pragma once

#include <cuda_runtime.h>

#include <initializer_list>

namespace trtdsl {

struct Device {
  int id = 0;
  int processors = 0;
  int shared_bytes = 0;  // the most that a block can have
  int major = 0;         // of the compute capability
  int cooperative = 0;

  cudaError_t find() {
    if (const cudaError_t error = cudaGetDevice(&id)) return error;
    struct Question {
      cudaDeviceAttr attribute;
      int* answer;
    };
    for (const Question& question : {Question{cudaDevAttrMultiProcessorCount, &processors},
                                     Question{cudaDevAttrMaxSharedMemoryPerBlockOptin, &shared_bytes},
                                     Question{cudaDevAttrComputeCapabilityMajor, &major},
                                     Question{cudaDevAttrCooperativeLaunch, &cooperative}}) {
      if (const cudaError_t error = cudaDeviceGetAttribute(question.answer, question.attribute, id)) return error;
    }
    return cudaSuccess;
  }
};

}  // namespace trtdsl
