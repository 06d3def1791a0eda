// Small data sets in every format that is read, as bytes.
#include "support/data_files.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "convoy/error.hpp"

namespace convoy::test {
namespace {

void append(ByteVector& bytes, const ByteVector& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

void append(ByteVector& bytes, const std::string& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

ByteVector planes(std::size_t count, std::size_t first, const std::function<void(std::size_t, ByteVector&)>& label) {
  ByteVector bytes;
  for (std::size_t i = first; i < first + count; ++i) {
    if (label) label(i, bytes);
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < 32; ++y) {
        for (int x = 0; x < 32; ++x) bytes.push_back(pixel(i, y, x, c));
      }
    }
  }
  return bytes;
}

std::vector<int> labels(std::size_t count, std::size_t first, std::size_t classes) {
  std::vector<int> result;
  for (std::size_t i = first; i < first + count; ++i) result.push_back(static_cast<int>(i % classes));
  return result;
}

std::vector<std::string> names(const std::string& word, int count) {
  std::vector<std::string> result;
  for (int i = 0; i < count; ++i) result.push_back(word + std::to_string(i));
  return result;
}

ByteVector lines(const std::vector<std::string>& words) {
  ByteVector bytes;
  for (const std::string& word : words) append(bytes, word + "\n");
  append(bytes, "\n");  // the published file ends so
  return bytes;
}

void append_big_endian(ByteVector& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

ByteVector cifar10_pickle(std::size_t count, std::size_t first) {
  PickleWriter writer;
  writer.begin_dict().string("batch_label").string("a batch").string("labels").integers(labels(count, first, 10));
  writer.string("data").array(static_cast<std::uint32_t>(count), 3072, planes(count, first, {}));
  return writer.string("filenames").strings(names("file_", static_cast<int>(count))).end_dict().stop();
}

ByteVector cifar100_pickle(std::size_t count, std::size_t first) {
  PickleWriter writer;
  writer.begin_dict().string("filenames").strings(names("file_", static_cast<int>(count)));
  writer.string("fine_labels").integers(labels(count, first, 100));
  writer.string("coarse_labels").integers(labels(count, first, 20));
  return writer.string("data")
      .array(static_cast<std::uint32_t>(count), 3072, planes(count, first, {}))
      .end_dict()
      .stop();
}

}  // namespace

std::uint8_t pixel(std::size_t index, int y, int x, int channel) {
  return static_cast<std::uint8_t>(index * 37 + static_cast<std::size_t>(y * 7 + x * 3 + channel * 101));
}

ByteVector cifar10_records(std::size_t count, std::size_t first) {
  return planes(count, first, [](std::size_t i, ByteVector& to) { to.push_back(static_cast<std::uint8_t>(i % 10)); });
}

ByteVector cifar100_records(std::size_t count, std::size_t first) {
  return planes(count, first, [](std::size_t i, ByteVector& to) {
    to.push_back(static_cast<std::uint8_t>(i % 20));
    to.push_back(static_cast<std::uint8_t>(i % 100));
  });
}

NamedFiles cifar10_binary(std::size_t per_batch) {
  return {{"data_batch_1.bin", cifar10_records(per_batch)},
          {"data_batch_2.bin", cifar10_records(per_batch, per_batch)},
          {"test_batch.bin", cifar10_records(per_batch, 2 * per_batch)},
          {"batches.meta.txt", lines(names("kind", 10))},
          {"readme.html", {'<', 'p', '>'}}};
}

NamedFiles cifar100_binary(std::size_t train, std::size_t test) {
  return {{"train.bin", cifar100_records(train)},
          {"test.bin", cifar100_records(test, train)},
          {"fine_label_names.txt", lines(names("fine", 100))},
          {"coarse_label_names.txt", lines(names("coarse", 20))}};
}

NamedFiles cifar10_pickles(std::size_t per_batch) {
  PickleWriter meta;
  meta.begin_dict().string("label_names").strings(names("kind", 10)).end_dict();
  return {{"data_batch_1", cifar10_pickle(per_batch, 0)},
          {"data_batch_2", cifar10_pickle(per_batch, per_batch)},
          {"test_batch", cifar10_pickle(per_batch, 2 * per_batch)},
          {"batches.meta", meta.stop()},
          {"readme.html", {'<', 'p', '>'}}};
}

NamedFiles cifar100_pickles(std::size_t train, std::size_t test) {
  PickleWriter meta;
  meta.begin_dict().string("fine_label_names").strings(names("fine", 100));
  meta.string("coarse_label_names").strings(names("coarse", 20)).end_dict();
  return {{"train", cifar100_pickle(train, 0)}, {"test", cifar100_pickle(test, train)}, {"meta", meta.stop()}};
}

NamedFiles idx_files(std::size_t train, std::size_t test, std::uint32_t side) {
  NamedFiles files;
  for (const bool is_test : {false, true}) {
    const std::size_t count = is_test ? test : train, first = is_test ? train : 0;
    ByteVector images{0, 0, 8, 3}, values{0, 0, 8, 1};
    for (const std::uint32_t size : {static_cast<std::uint32_t>(count), side, side}) append_big_endian(images, size);
    append_big_endian(values, static_cast<std::uint32_t>(count));
    for (std::size_t i = first; i < first + count; ++i) {
      values.push_back(static_cast<std::uint8_t>(i % 10));
      for (int y = 0; y < static_cast<int>(side); ++y) {
        for (int x = 0; x < static_cast<int>(side); ++x) images.push_back(pixel(i, y, x, 0));
      }
    }
    const std::string part = is_test ? "t10k" : "train";
    files.emplace_back(part + "-images-idx3-ubyte", images);
    files.emplace_back(part + "-labels-idx1-ubyte", values);
  }
  return files;
}

PickleWriter& PickleWriter::raw(const ByteVector& bytes) {
  append(bytes_, bytes);
  return *this;
}

PickleWriter& PickleWriter::put() {
  ++memo_;
  if (memo_ < 256) return raw({'q', static_cast<std::uint8_t>(memo_)});
  return raw({'r', static_cast<std::uint8_t>(memo_), static_cast<std::uint8_t>(memo_ >> 8), 0, 0});
}

PickleWriter& PickleWriter::integer(std::uint32_t value) {
  const auto byte = [&](int shift) { return static_cast<std::uint8_t>(value >> shift); };
  if (value < 256) return raw({'K', byte(0)});
  if (value < 65536) return raw({'M', byte(0), byte(8)});
  return raw({'J', byte(0), byte(8), byte(16), byte(24)});
}

PickleWriter& PickleWriter::bare_string(const std::string& text) {
  const auto byte = [&](int shift) { return static_cast<std::uint8_t>(text.size() >> shift); };
  if (text.size() < 256) {
    raw({'U', byte(0)});
  } else {
    raw({'T', byte(0), byte(8), byte(16), byte(24)});
  }
  append(bytes_, text);
  return *this;
}

PickleWriter& PickleWriter::string(const std::string& text) { return bare_string(text).put(); }

PickleWriter& PickleWriter::integers(const std::vector<int>& values) {
  raw({']'}).put();
  constexpr std::size_t kBatch = 1000;  // cPickle's
  for (std::size_t begin = 0; begin < values.size(); begin += kBatch) {
    const std::size_t end = std::min(values.size(), begin + kBatch);
    if (end - begin > 1) raw({'('});
    for (std::size_t i = begin; i < end; ++i) integer(static_cast<std::uint32_t>(values[i]));
    raw({static_cast<std::uint8_t>(end - begin > 1 ? 'e' : 'a')});
  }
  return *this;
}

PickleWriter& PickleWriter::strings(const std::vector<std::string>& values) {
  raw({']'}).put().raw({'('});
  for (const std::string& value : values) string(value);
  return raw({'e'});
}

PickleWriter& PickleWriter::global(const std::string& module, const std::string& name) {
  append(bytes_, "c" + module + "\n" + name + "\n");
  return put();
}

PickleWriter& PickleWriter::array(std::uint32_t rows, std::uint32_t columns, const ByteVector& values,
                                  const std::string& type) {
  global("numpy.core.multiarray", "_reconstruct").global("numpy", "ndarray");
  raw({'K', 0, 0x85, 'U', 1, 'b', 0x87, 'R'}).put().raw({'(', 'K', 1});
  integer(rows)
      .integer(columns)
      .raw({0x86})
      .global("numpy", "dtype")
      .bare_string(type)
      .raw({'K', 0, 'K', 1, 0x87, 'R'});
  put().raw(
      {'(', 'K', 3, 'U', 1, '|', 'N', 'N', 'N', 'J', 255, 255, 255, 255, 'J', 255, 255, 255, 255, 'K', 0, 't', 'b'});
  return raw({0x89}).bare_string({values.begin(), values.end()}).raw({'t', 'b'});
}

Source source(const std::string& name, const NamedFiles& files) {
  std::vector<std::pair<std::string, Bytes>> copies;
  for (const auto& [file_name, contents] : files) copies.emplace_back(file_name, copy_of(contents));
  return source_of(name, std::move(copies));
}

Source source(const std::string& name, const ByteVector& bytes) { return source_of(name, copy_of(bytes)); }

ByteVector& file(NamedFiles& files, const std::string& name) {
  for (auto& [file_name, contents] : files) {
    if (file_name == name) return contents;
  }
  throw std::logic_error("no file " + name);
}

void remove(NamedFiles& files, const std::string& name) {
  std::erase_if(files, [&](const auto& entry) { return entry.first == name; });
}

void write(const std::string& folder, const NamedFiles& files) {
  for (const auto& [name, contents] : files) {
    std::ofstream stream(folder + "/" + name, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(contents.data()), static_cast<std::streamsize>(contents.size()));
    if (!stream) throw std::runtime_error(folder + "/" + name + " cannot be written");
  }
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace convoy::test
