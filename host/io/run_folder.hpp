// A run is a folder: metrics.jsonl, summary.json, recipe.toml, weights.safetensors. It is locked while its run lives;
// an existing run is moved aside, never mixed with a new one, or reopened by who goes on with it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace convoy {

// runs/NAME-YYYYMMDD-HHMMSS[-JOBID], local time; a number is appended where that is taken.
std::filesystem::path default_run_path(const std::string& name);

// The scheduler's job id (SLURM_JOB_ID), if there is one.
std::optional<std::string> job_id();

// Move-only; holds the lock.
class RunFolder {
 public:
  // Makes the folder. A run already there is renamed to PATH.1, PATH.2, ...; `moved_to` says where. Throws where the
  // run there is alive, or where the folder holds something that is no run.
  static RunFolder create(const std::filesystem::path& path);
  // A run that is there, to go on with it. Throws where it is alive.
  static RunFolder reopen(const std::filesystem::path& path);
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&& other) noexcept;
  ~RunFolder();

  const std::filesystem::path& path() const { return path_; }
  const std::optional<std::filesystem::path>& moved_to() const { return moved_to_; }
  std::filesystem::path file(std::string_view name) const { return path_ / name; }

  void write_text(std::string_view name, std::string_view text) const;  // atomic
  void append_line(std::string_view name, std::string_view text);       // one write: whole lines only

 private:
  RunFolder() = default;
  void sign_lock() const;
  std::filesystem::path path_;
  std::optional<std::filesystem::path> moved_to_;
  int lock_ = -1;
};

}  // namespace convoy
