// Small data sets in every format that is read, as bytes; and what makes malformed ones of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "data/source.hpp"

namespace convoy::test {

using ByteVector = std::vector<std::uint8_t>;
using NamedFiles = std::vector<std::pair<std::string, ByteVector>>;

// The pixel that sample `index` of these sets has at (y, x, channel): all different enough to notice any mix-up.
std::uint8_t pixel(std::size_t index, int y, int x, int channel);

ByteVector cifar10_records(std::size_t count, std::size_t first = 0);   // labels i % 10
ByteVector cifar100_records(std::size_t count, std::size_t first = 0);  // coarse i % 20, fine i % 100
NamedFiles cifar10_binary(std::size_t per_batch);                       // 2 batches, test, names
NamedFiles cifar100_binary(std::size_t train, std::size_t test);
NamedFiles cifar10_pickles(std::size_t per_batch);
NamedFiles cifar100_pickles(std::size_t train, std::size_t test);
NamedFiles idx_files(std::size_t train, std::size_t test, std::uint32_t side = 28);

// Writes pickles as Python 2's cPickle does at protocol 2; raw() for what that would not do.
class PickleWriter {
 public:
  PickleWriter() { raw({0x80, 2}); }
  PickleWriter& raw(const ByteVector& bytes);
  PickleWriter& begin_dict() { return raw({'}'}).put().raw({'('}); }
  PickleWriter& end_dict() { return raw({'u'}); }
  PickleWriter& string(const std::string& text);  // SHORT_BINSTRING or BINSTRING, and its BINPUT
  PickleWriter& integers(const std::vector<int>& values);
  PickleWriter& strings(const std::vector<std::string>& values);
  PickleWriter& array(std::uint32_t rows, std::uint32_t columns, const ByteVector& values,
                      const std::string& type = "u1");
  PickleWriter& global(const std::string& module, const std::string& name);
  ByteVector stop() { return raw({'.'}).bytes_; }

 private:
  PickleWriter& put();
  PickleWriter& integer(std::uint32_t value);
  PickleWriter& bare_string(const std::string& text);
  ByteVector bytes_;
  std::uint32_t memo_ = 0;
};

// An archive of these files, each under `folder`; `change` may alter a member's header (an archive_entry*).
ByteVector tar_of(const NamedFiles& files, const std::string& folder, bool compressed,
                  const std::function<void(const std::string&, void*)>& change = {});
ByteVector gzip_of(const ByteVector& bytes);

Source source(const std::string& name, const NamedFiles& files);
Source source(const std::string& name, const ByteVector& bytes);
ByteVector& file(NamedFiles& files, const std::string& name);
void remove(NamedFiles& files, const std::string& name);
void write(const std::string& folder, const NamedFiles& files);

// The message of the Error that `action` throws; empty where it throws none.
std::string message_of(const std::function<void()>& action);

}  // namespace convoy::test
