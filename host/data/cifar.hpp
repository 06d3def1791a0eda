// What the two published encodings of CIFAR-10 and CIFAR-100 (Krizhevsky 2009) share: extents, names, which files
// belong to which part, and the change from planes to pixels.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/types.hpp"
#include "data/source.hpp"

namespace convoy::cifar {

inline constexpr Extent kImage{32, 32, 3};
inline constexpr std::size_t kPlaneBytes = 1024;
inline constexpr std::size_t kImageBytes = 3 * kPlaneBytes;

enum class Variant : std::uint8_t { cifar10, cifar100 };

// planes [3,32,32] -> pixels [32,32,3]
void planes_to_pixels(const std::uint8_t* planes, std::uint8_t* pixels);

std::vector<std::string> default_class_names(Variant variant, bool coarse);
int label_count(Variant variant, bool coarse);  // 10, 100 or 20

// "data_batch_3.bin" -> 3; 0 where the name is no training batch's.
int training_batch_number(std::string_view name);
bool is_test_part(std::string_view name);  // "test_batch", "test.bin", ...

// One file of the set: how many images of which part it holds, and where they go in that part.
struct Part {
  const SourceFile* file = nullptr;
  bool is_test = false;
  std::uint64_t count = 0;
  std::uint64_t first = 0;
};

// Orders the parts (training batches by number), lays them one after the other and checks that none is missing and
// that all training batches are equally large.
void arrange(const std::string& path, Variant variant, SourceKind kind, std::vector<Part>& parts);

std::uint64_t images_in(const std::vector<Part>& parts, bool test);

}  // namespace convoy::cifar
