// The closed-form parameters, images and labels that the golden files were made from, so that no golden file holds
// eleven million weights; tests/golden/fill.py is the same arithmetic in numpy. And a reader of the golden files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.hpp"

namespace convoy::golden {

// Bits for element `index` of the tensor `name`: a 32-bit integer hash (Wellons' lowbias32) twice.
std::uint32_t bits(std::string_view name, std::uint32_t index);

// Uniform in [-1, 1): the upper 24 bits; exact in fp32.
double symmetric(std::string_view name, std::uint32_t index);

// A parameter filled as PyTorch orders it (OIHW, rows by C,H,W). `shape` and the name's last part decide:
// four or two dimensions: uniform in +-sqrt(3 / fan_in); a vector "weight" (a scale): 1 +- 0.2; "bias": +-0.1;
// "running_mean": 0; "running_var": 1.
std::vector<float> parameter(const std::string& name, const std::vector<std::int64_t>& shape);

// `count` images of height x width x channels, HWC, from the tensor name "images"; image i starts at `first` + i.
std::vector<std::uint8_t> images(std::size_t first, std::size_t count, std::size_t elements, int seed);

// Labels below `classes`, from the tensor name "labels".
std::vector<std::int32_t> labels(std::size_t first, std::size_t count, int classes, int seed);

// A safetensors file that tests/golden/make_golden.py wrote. Every call throws Error naming what is not there.
class File {
 public:
  explicit File(const std::string& name);  // "seed": tests/golden/seed.safetensors

  bool has(const std::string& tensor) const;
  std::vector<double> values(const std::string& tensor) const;  // F64 or I64
  double value(const std::string& tensor) const;                // its first
  const std::string& text(const std::string& key) const;        // of the metadata
  double number(const std::string& key) const;
  std::vector<std::string> names_under(const std::string& prefix) const;  // what summaries there are: "gradient."

 private:
  SafetensorsFile file_;
};

// Compares a tensor in PyTorch's order with what the golden file keeps of it under `name`: `name`.norm,
// `name`.sum and `name`.samples (16 elements at positions bits("sample", i) % count).
// Returns the largest difference: of the norm as its share, of the sum as a share of norm * sqrt(count), of the
// samples as a share of the largest sample or of norm / sqrt(count), whichever is larger.
double difference(const File& file, const std::string& name, const std::vector<float>& values);

}  // namespace convoy::golden
