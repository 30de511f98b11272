// All that TensorRT's headers ask of CUDA's, for libraries that never touch a GPU.
#pragma once
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
