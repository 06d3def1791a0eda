// The lock is flock on RUN/.lock: it goes with the process, however that ends.
#include "io/run_folder.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "convoy/error.hpp"
#include "io/atomic_file.hpp"
#include "io/host_info.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLockName = ".lock";
constexpr std::string_view kRunFiles[] = {kLockName, "summary.json", "metrics.jsonl", "recipe.toml"};
constexpr int kMostNumbers = 100'000;  // of runs moved aside under one name

constexpr int kHeld = -1, kVanished = -2;

// Opens the lock file and tries to take it. kHeld where another process has it, and `holder` is what that one wrote;
// kVanished where the folder is not there any more.
int try_lock(const fs::path& folder, std::string& holder) {
  const fs::path path = folder / kLockName;
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0 && errno == ENOENT) return kVanished;
  CONVOY_CHECK(file >= 0, "{}: cannot be written: {}", path.string(), std::strerror(errno));
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) return file;
  const int reason = errno;
  std::array<char, 256> text{};
  const ssize_t length = ::pread(file, text.data(), text.size(), 0);
  holder.assign(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  ::close(file);
  CONVOY_CHECK(reason == EWOULDBLOCK, "{}: cannot be locked: {}", path.string(), std::strerror(reason));
  return kHeld;
}

[[noreturn]] void fail_alive(const fs::path& folder, const std::string& holder) {
  fail("{}: a run is writing there{}; give another --out, or end that one first", folder.string(),
       holder.empty() ? "" : fmt::format(" ({})", holder));
}

std::string self() { return fmt::format("process {} on {}", ::getpid(), host_name()); }

// A folder that vanishes meanwhile was a run's.
bool is_run_or_empty(const fs::path& folder) {
  std::error_code error;
  const bool is_empty = fs::is_empty(folder, error);
  return error || is_empty || std::ranges::any_of(kRunFiles, [&](std::string_view file) {
           std::error_code ignored;
           return fs::exists(folder / file, ignored);
         });
}

// Nothing but its lock.
bool is_fresh(const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename() != kLockName) return false;
  }
  return true;
}

// Renames a finished run, whose lock is held, to PATH.1, PATH.2, ... and says which.
fs::path move_aside(const fs::path& folder) {
  for (int number = 1; number < kMostNumbers; ++number) {
    const fs::path target = fmt::format("{}.{}", folder.string(), number);
    // AT_FDCWD and NOREPLACE: two processes cannot choose the same number.
    if (::renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0) return target;
    const int reason = errno;
    if (reason == EEXIST) continue;
    // Some file systems know no NOREPLACE.
    if (reason == EINVAL && fs::exists(target)) continue;
    if (reason == EINVAL && ::rename(folder.c_str(), target.c_str()) == 0) return target;
    fail("{}: the run there cannot be moved aside: {}", folder.string(), std::strerror(reason));
  }
  fail("{}: {} runs lie beside it already; remove some", folder.string(), kMostNumbers);
}

// Where links lead, whether something is there or not: a link to a larger disk stays one.
fs::path place_of(fs::path path) {
  constexpr int kMostLinks = 40;  // as the system follows
  std::error_code ignored;
  for (int links = 0; links < kMostLinks && fs::is_symlink(path, ignored); ++links) {
    path = path.parent_path() / fs::read_symlink(path);  // an absolute one stands alone
    if (path.filename().empty()) path = path.parent_path();
  }
  return path;
}

bool is_same_file(int file, const fs::path& path) {
  struct stat by_descriptor {};
  struct stat by_name {};
  return ::fstat(file, &by_descriptor) == 0 && ::stat(path.c_str(), &by_name) == 0 &&
         by_descriptor.st_ino == by_name.st_ino && by_descriptor.st_dev == by_name.st_dev;
}

}  // namespace

std::optional<std::string> job_id() {
  const char* id = std::getenv("SLURM_JOB_ID");
  if (id == nullptr || *id == '\0') return std::nullopt;
  return id;
}

fs::path default_run_path(const std::string& name) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  const std::string job = job_id() ? "-" + *job_id() : "";
  const std::string base = fmt::format("{}-{:%Y%m%d-%H%M%S}{}", name, local, job);
  fs::path path = fs::path("runs") / base;
  for (int number = 2; fs::exists(path); ++number) path = fs::path("runs") / fmt::format("{}-{}", base, number);
  return path;
}

RunFolder RunFolder::create(const fs::path& given) {
  RunFolder run;
  run.path_ = given.lexically_normal();
  if (run.path_.filename().empty()) run.path_ = run.path_.parent_path();  // "runs/a/"
  CONVOY_CHECK(!run.path_.empty() && run.path_ != "/", "--out {}: the name of a folder expected", given.string());
  std::error_code error;
  const fs::file_status status = fs::status(run.path_, error);
  if (fs::exists(status)) {
    CONVOY_CHECK(fs::is_directory(status), "{}: a folder expected, a file found", run.path_.string());
    CONVOY_CHECK(is_run_or_empty(run.path_), "{}: holds other files than a run's; give another --out",
                 run.path_.string());
  }
  // Whoever holds the lock of the folder at this path owns it; what is found only then is certain. Others may make,
  // finish and move runs in between, so it may take several turns.
  const fs::path place = place_of(run.path_);
  while (true) {
    fs::create_directories(place, error);
    CONVOY_CHECK(!error, "{}: the folder cannot be made: {}", run.path_.string(), error.message());
    std::string holder;
    run.lock_ = try_lock(run.path_, holder);
    if (run.lock_ == kVanished) continue;
    if (run.lock_ == kHeld) fail_alive(run.path_, holder);
    const bool is_there = is_same_file(run.lock_, run.path_ / kLockName);
    if (is_there && is_fresh(run.path_)) break;
    if (is_there) run.moved_to_ = move_aside(place);
    ::close(std::exchange(run.lock_, -1));
  }
  run.sign_lock();
  return run;
}

RunFolder RunFolder::reopen(const fs::path& given) {
  RunFolder run;
  run.path_ = given.lexically_normal();
  if (run.path_.filename().empty()) run.path_ = run.path_.parent_path();
  std::string holder;
  run.lock_ = try_lock(run.path_, holder);
  if (run.lock_ == kHeld) fail_alive(run.path_, holder);
  CONVOY_CHECK(run.lock_ != kVanished, "{}: the run there has vanished", run.path_.string());
  run.sign_lock();
  return run;
}

void RunFolder::sign_lock() const {
  const std::string text = self();
  if (::ftruncate(lock_, 0) == 0 && ::pwrite(lock_, text.data(), text.size(), 0) < 0) {
    fail("{}: cannot be written: {}", (path_ / kLockName).string(), std::strerror(errno));
  }
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)), moved_to_(std::move(other.moved_to_)), lock_(std::exchange(other.lock_, -1)) {}

RunFolder& RunFolder::operator=(RunFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(moved_to_, other.moved_to_);
  std::swap(lock_, other.lock_);
  return *this;
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

void RunFolder::write_text(std::string_view name, std::string_view text) const {
  write_file_atomically(file(name), text);
}

void RunFolder::append_line(std::string_view name, std::string_view text) {
  const fs::path path = file(name);
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  CONVOY_CHECK(descriptor >= 0, "{}: cannot be written: {}", path.string(), std::strerror(errno));
  const std::string line = std::string(text) + "\n";
  ssize_t written = 0;
  do {
    written = ::write(descriptor, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  const int reason = written < 0 ? errno : ENOSPC;
  ::close(descriptor);
  CONVOY_CHECK(written == static_cast<ssize_t>(line.size()), "{}: cannot be written: {}", path.string(),
               std::strerror(reason));
}

}  // namespace convoy
