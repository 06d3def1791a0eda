// PNG written by hand: chunks with CRC-32, pixels in stored deflate blocks.
#include "support/pictures.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace convoy::test {
namespace {

void add_32(ByteVector& to, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::uint8_t>(value >> shift));
}

std::uint32_t crc_32(const ByteVector& bytes, std::size_t first) {
  std::uint32_t crc = 0xffffffffu;
  for (std::size_t i = first; i < bytes.size(); ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

void add_chunk(ByteVector& file, const PngChunk& chunk) {
  add_32(file, static_cast<std::uint32_t>(chunk.contents.size()));
  const std::size_t first = file.size();
  file.insert(file.end(), chunk.type.begin(), chunk.type.end());
  file.insert(file.end(), chunk.contents.begin(), chunk.contents.end());
  add_32(file, crc_32(file, first));
}

ByteVector zlib_stored(const ByteVector& bytes) {
  constexpr std::size_t kBlock = 65535;
  ByteVector result{0x78, 0x01};
  std::uint32_t a = 1, b = 0;  // Adler-32
  for (const std::uint8_t byte : bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  for (std::size_t at = 0; at < bytes.size(); at += kBlock) {
    const std::size_t size = std::min(kBlock, bytes.size() - at);
    const auto low = static_cast<std::uint8_t>(size & 255), high = static_cast<std::uint8_t>(size >> 8);
    result.insert(result.end(), {static_cast<std::uint8_t>(at + size == bytes.size()), low, high,
                                 static_cast<std::uint8_t>(~low), static_cast<std::uint8_t>(~high)});
    result.insert(result.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                  bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
  }
  add_32(result, b << 16 | a);
  return result;
}

}  // namespace

ByteVector png(int width, int height, PngColour colour, int depth, const ByteVector& samples,
               const std::vector<PngChunk>& before) {
  ByteVector file{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  ByteVector header;
  add_32(header, static_cast<std::uint32_t>(width));
  add_32(header, static_cast<std::uint32_t>(height));
  header.insert(header.end(), {static_cast<std::uint8_t>(depth), static_cast<std::uint8_t>(colour), 0, 0, 0});
  add_chunk(file, {"IHDR", header});
  for (const PngChunk& chunk : before) add_chunk(file, chunk);
  const std::size_t stride = samples.size() / static_cast<std::size_t>(height);
  ByteVector rows;
  for (int y = 0; y < height; ++y) {
    rows.push_back(0);  // no filter
    const auto row = samples.begin() + static_cast<std::ptrdiff_t>(stride) * y;
    rows.insert(rows.end(), row, row + static_cast<std::ptrdiff_t>(stride));
  }
  add_chunk(file, {"IDAT", zlib_stored(rows)});
  add_chunk(file, {"IEND", {}});
  return file;
}

ByteVector flat_png(int width, int height, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  ByteVector samples;
  for (int i = 0; i < width * height; ++i) samples.insert(samples.end(), {red, green, blue});
  return png(width, height, PngColour::rgb, 8, samples);
}

ByteVector flat_grey_png(int width, int height, std::uint8_t grey) {
  return png(width, height, PngColour::grey, 8, ByteVector(static_cast<std::size_t>(width * height), grey));
}

ByteVector golden_jpeg(const std::string& name) {
  std::ifstream file(CONVOY_TEST_SOURCE_DIR "/tests/golden/pictures/" + name + ".jpg", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::filesystem::path& path, const ByteVector& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace convoy::test
