// What the epilogue's forward and backward loops share: how the batch is cut into pieces for the threads, and where
// a channel's factors lie. Pieces depend on shapes only, so that results do not depend on the number of threads.
#pragma once

#include "cpu/kernels/epilogue.hpp"
#include "cpu/kernels/vector.hpp"

namespace convoy::cpu::CONVOY_ISA {

void add_epilogue_forward(EpilogueKernels* kernels);   // epilogue_forward.cpp
void add_epilogue_backward(EpilogueKernels* kernels);  // epilogue_backward.cpp

constexpr int kSegmentPixels = 256;  // summed in fp32 before the sums go on in double

// Samples [first, end) of one group, whose sums are kept at `index`.
struct Chunk {
  int index, first, end;
};

CONVOY_INLINE int chunks_per_group(const EpilogueArgs& args) {
  const int group = args.group_size < args.samples ? args.group_size : args.samples;
  return (group + args.chunk_size - 1) / args.chunk_size;
}

CONVOY_INLINE double* chunk_sums(const EpilogueArgs& args, const Chunk& chunk, int block) {
  return args.sums + (std::int64_t{chunk.index} * 2 * args.blocks + block) * args.block;
}

// body(chunk, block of channels), by all threads. The caller's sums have chunks_per_group rows for every group; the
// last group may leave the last of its rows unwritten.
template <typename Body>
CONVOY_INLINE void for_chunks(const EpilogueArgs& args, const Body& body) {
  const int per_group = chunks_per_group(args);
  const int groups = (args.samples + args.group_size - 1) / args.group_size;
  const int pieces = groups * per_group * args.blocks;
#pragma omp parallel for schedule(static) num_threads(args.threads)
  for (int piece = 0; piece < pieces; ++piece) {
    const int index = piece / args.blocks;
    const int group_first = index / per_group * args.group_size;
    const int group_end = group_first + args.group_size < args.samples ? group_first + args.group_size : args.samples;
    const int first = group_first + index % per_group * args.chunk_size;
    const int end = first + args.chunk_size < group_end ? first + args.chunk_size : group_end;
    if (first < end) body(Chunk{index, first, end}, piece % args.blocks);
  }
}

// body(sample, block of channels), by all threads.
template <typename Body>
CONVOY_INLINE void for_planes(const EpilogueArgs& args, const Body& body) {
  const int planes = args.samples * args.blocks;
#pragma omp parallel for schedule(static) num_threads(args.threads)
  for (int plane = 0; plane < planes; ++plane) body(plane / args.blocks, plane % args.blocks);
}

// The first of a sample's channels in an array [groups][blocks * block].
CONVOY_INLINE std::int64_t channel_offset(const EpilogueArgs& args, int sample, int block, int lane) {
  return (std::int64_t{sample / args.group_size} * args.blocks + block) * args.block + lane;
}

// Where a sample's block of channels begins in a pooled tensor.
CONVOY_INLINE std::int64_t pooled_offset(const EpilogueArgs& args, int sample, int block) {
  return sample * args.pooled_sample + std::int64_t{block} * args.pooled_height * args.pooled_width * args.block;
}

// How many of a block's channels pooled tensors hold.
CONVOY_INLINE int pooled_lanes(const EpilogueArgs& args, int block) {
  const bool padded = args.pooled_sample != args.channels;
  const int rest = args.channels - block * args.block;
  return padded || rest > args.block ? args.block : rest;
}

// Calls body.operator()<activation>().
template <typename Body>
CONVOY_INLINE void with_activation(Activation activation, Body&& body) {
  switch (activation) {
    case Activation::none:
      return body.template operator()<Activation::none>();
    case Activation::relu:
      return body.template operator()<Activation::relu>();
    case Activation::gelu:
      return body.template operator()<Activation::gelu>();
    case Activation::silu:
      return body.template operator()<Activation::silu>();
  }
}

}  // namespace convoy::cpu::CONVOY_ISA
