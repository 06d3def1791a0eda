# Finds NCCL as the target Convoy::nccl; see find_versioned.cmake.
include(find_versioned)
convoy_find_versioned(NCCL Convoy::nccl nccl.h nccl.h "NCCL_(MAJOR|MINOR|PATCH)" nccl libnccl.so.2)
