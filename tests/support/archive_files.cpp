// Archives and compressed files for tests, by libarchive's writer.
#include <archive.h>
#include <archive_entry.h>

#include <stdexcept>

#include "support/data_files.hpp"

namespace convoy::test {
namespace {

void require(archive* handle, int status) {
  if (status != ARCHIVE_OK) throw std::runtime_error(archive_error_string(handle));
}

la_ssize_t collect(archive*, void* context, const void* bytes, std::size_t size) {
  const auto* from = static_cast<const std::uint8_t*>(bytes);
  auto& to = *static_cast<ByteVector*>(context);
  to.insert(to.end(), from, from + size);
  return static_cast<la_ssize_t>(size);
}

}  // namespace

ByteVector tar_of(const NamedFiles& files, const std::string& folder, bool compressed,
                  const std::function<void(const std::string&, void*)>& change) {
  ByteVector result;
  archive* handle = archive_write_new();
  require(handle, archive_write_set_format_ustar(handle));
  if (compressed) require(handle, archive_write_add_filter_gzip(handle));
  require(handle, archive_write_set_bytes_in_last_block(handle, 1));
  require(handle, archive_write_open(handle, &result, nullptr, collect, nullptr));
  for (const auto& [name, contents] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, (folder + "/" + name).c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(contents.size()));
    if (change) change(name, entry);
    require(handle, archive_write_header(handle, entry));
    if (archive_entry_size(entry) > 0) archive_write_data(handle, contents.data(), contents.size());
    archive_entry_free(entry);
  }
  archive_write_close(handle);
  archive_write_free(handle);
  return result;
}

ByteVector gzip_of(const ByteVector& bytes) {
  ByteVector result;
  archive* handle = archive_write_new();
  require(handle, archive_write_set_format_raw(handle));
  require(handle, archive_write_add_filter_gzip(handle));
  require(handle, archive_write_set_bytes_in_last_block(handle, 1));
  require(handle, archive_write_open(handle, &result, nullptr, collect, nullptr));
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  require(handle, archive_write_header(handle, entry));
  archive_write_data(handle, bytes.data(), bytes.size());
  archive_entry_free(entry);
  archive_write_close(handle);
  archive_write_free(handle);
  return result;
}

}  // namespace convoy::test
