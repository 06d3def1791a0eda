// Stands in for ../archive.cpp and ../gzip.cpp in a build without libarchive.
#include "convoy/error.hpp"
#include "data/archive.hpp"
#include "data/gzip.hpp"

namespace convoy {

std::string archives_missing() {
  return "this build has no libarchive: unpack it first (tar -xf, gunzip), or install libarchive-dev and build again";
}

GzipStream::GzipStream(std::span<const std::uint8_t>, std::string name, std::uint64_t) : archive_(nullptr, nullptr) {
  fail_usage("{}: {}", name, archives_missing());
}

std::span<const std::uint8_t> GzipStream::next_block() { return {}; }  // none was ever made

Bytes gunzip(std::span<const std::uint8_t>, const std::string& name) { fail_usage("{}: {}", name, archives_missing()); }

// What cannot be looked at is no data set; load_dataset says why.
Bytes gunzip_head(std::span<const std::uint8_t>, std::size_t) { return {}; }

std::vector<ArchiveMember> read_archive(std::span<const std::uint8_t>, const std::string& name, const ArchiveLimits&) {
  fail_usage("{}: {}", name, archives_missing());
}

}  // namespace convoy
